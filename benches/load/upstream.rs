//! An upstream that costs next to nothing.

use crate::arguments::UpstreamArguments;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Answers until it is killed.
pub(crate) fn run(arguments: &UpstreamArguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = "x".repeat(arguments.bytes);
    let length = body.len();
    let answer: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}")
            .leak();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(arguments.listen).await?;
        println!("{}", listener.local_addr()?);
        loop {
            spawn_local(answer_all(listener.accept().await?.0, answer.as_bytes()));
        }
    })
}

/// Requests without bodies, one after another.
async fn answer_all(mut socket: TcpStream, answer: &[u8]) {
    socket.set_nodelay(true).ok();
    let mut received = Vec::with_capacity(4096);
    while matches!(socket.read_buf(&mut received).await, Ok(1..)) {
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            if socket.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
