//! Asks a server how it is, again and again, on a connection of its own each time: what the connections of requests are like is no answer.

use super::super::UpstreamError;
use super::super::stream::Stream;
use super::super::target::{Reached, Target};
use crate::config::CheckPlan;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri, Version};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Who asks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("keyproof/", env!("CARGO_PKG_VERSION"), " (health)"));

/// Asks for as long as it lives.
#[derive(Debug)]
pub(super) struct Check(JoinHandle<()>);

/// Why a server is not healthy.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No 2xx.
    #[error("it answers {}", .0.as_u16())]
    Status(StatusCode),
    /// No answer.
    #[error("{}", .0.label())]
    Error(UpstreamError),
    /// Not in time.
    #[error("it does not answer in time")]
    Timeout,
}

impl Check {
    /// Begins, on the runtime of the caller.
    pub(super) fn begin(
        target: Arc<Target>,
        address: SocketAddr,
        plan: CheckPlan,
        tell: impl Fn(Result<(), Failure>) + Send + 'static,
    ) -> Self {
        Self(Handle::current().spawn(async move {
            loop {
                let asked = tokio::time::timeout(plan.timeout, ask(&target, address, &plan)).await;
                tell(match asked {
                    Ok(Ok(status)) if status.is_success() => Ok(()),
                    Ok(Ok(status)) => Err(Failure::Status(status)),
                    Ok(Err(error)) => Err(Failure::Error(error)),
                    Err(_) => Err(Failure::Timeout),
                });
                tokio::time::sleep(plan.interval).await;
            }
        }))
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The status of its answer.
async fn ask(target: &Target, address: SocketAddr, plan: &CheckPlan) -> Result<StatusCode, UpstreamError> {
    match target.reach(address, None, plan.timeout).await? {
        Reached::Http1(stream) => http1(stream, target, plan).await,
        Reached::Http2(stream) => http2(stream, target, plan).await,
    }
}

async fn http1(stream: Stream, target: &Target, plan: &CheckPlan) -> Result<StatusCode, UpstreamError> {
    let broken = |_| UpstreamError::Broken;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from(plan.path.clone());
    let headers = request.headers_mut();
    headers.insert(HOST, target.host_field());
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let answer = sender.send_request(request);
    let mut answer = std::pin::pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = answer.as_mut() => answer,
        // It ended; the answer may have come with that.
        _ended = connection => answer.await,
    };
    Ok(answer.map_err(broken)?.status())
}

async fn http2(stream: Stream, target: &Target, plan: &CheckPlan) -> Result<StatusCode, UpstreamError> {
    let broken = |_| UpstreamError::Broken;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = target.absolute(&plan.path);
    request.headers_mut().insert(USER_AGENT, AGENT);
    let ask = async {
        let (answer, _) = sender.ready().await?.send_request(request, true)?;
        answer.await
    };
    let mut ask = std::pin::pin!(ask);
    let answer = tokio::select! {
        biased;
        answer = ask.as_mut() => answer,
        _ended = connection => ask.await,
    };
    Ok(answer.map_err(broken)?.status())
}
