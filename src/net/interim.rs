//! A bound on interim answers: hyper's client reads past any number of them, so a server that sends nothing else keeps it reading.

use http::Request;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// How many interim answers (1xx, RFC 9110 section 15.2) may come before the final one. One is usual, a handful of 102 or 103 is seen.
pub const MAX_INTERIM: usize = 32;

/// Counts the interim answers to one HTTP/1.1 request.
#[derive(Debug)]
pub struct Interim(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    count: AtomicUsize,
    exceeded: Notify,
}

impl Interim {
    /// Counts those to `request`, from when it is sent.
    pub fn count<B>(request: &mut Request<B>) -> Self {
        let seen = Arc::<Seen>::default();
        let told = Arc::clone(&seen);
        hyper::ext::on_informational(request, move |_| {
            if told.count.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM {
                told.exceeded.notify_one();
            }
        });
        Self(seen)
    }

    /// Waits until there are more than [`MAX_INTERIM`]. Whoever waits for the answer beside it then gives up, which closes the connection.
    pub async fn exceeded(&self) {
        self.0.exceeded.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_util::task::TaskTracker;

    /// Whether an answer comes after so many interim ones.
    async fn answered_after(interim: usize) -> bool {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            let mut head = [0; 64];
            drop(theirs.read(&mut head).await);
            for _ in 0..interim {
                drop(theirs.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await);
            }
            drop(theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await);
        });
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        let mut request = Request::new(Empty::<Bytes>::new());
        let counted = Interim::count(&mut request);
        tokio::select! {
            biased;
            () = counted.exceeded() => false,
            answer = sender.send_request(request) => answer.unwrap().status().as_u16() == 204,
        }
    }

    #[tokio::test]
    async fn a_storm_of_interim_answers_is_given_up() {
        assert!(answered_after(0).await);
        assert!(answered_after(MAX_INTERIM).await);
        assert!(!answered_after(MAX_INTERIM + 1).await);
        assert!(!answered_after(100_000).await);
    }
}
