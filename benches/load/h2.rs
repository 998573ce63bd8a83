//! HTTP/2, by hyper: many streams on few connections.

use crate::arguments::Door;
use crate::grpc;
use crate::pool::Shot;
use crate::run::Run;
use crate::scenery::HOST;
use crate::tls::Dialer;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::rc::Rc;
use tokio::task::spawn_local;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Keeps `streams` requests going on one connection until the run is over.
pub(crate) async fn drive(run: Rc<Run>, dialer: Rc<Dialer>, streams: usize) {
    while !run.is_over() {
        if let Err(error) = multiplex(&run, &dialer, streams).await {
            run.failed(&error);
        }
    }
}

async fn multiplex(run: &Rc<Run>, dialer: &Dialer, streams: usize) -> io::Result<()> {
    let socket = TokioIo::new(dialer.dial().await?);
    let (sender, connection) = handshake(TokioExecutor::new(), socket).await.map_err(io::Error::other)?;
    let carrying = spawn_local(connection);
    let stream = |_| spawn_local(one_after_another(Rc::clone(run), sender.clone()));
    let streams: Vec<_> = (0..streams).map(stream).collect();
    let mut outcome = Ok(());
    for stream in streams {
        outcome = outcome.and(stream.await.map_err(io::Error::other)?);
    }
    carrying.abort();
    outcome
}

async fn one_after_another(run: Rc<Run>, mut sender: SendRequest<Full<Bytes>>) -> io::Result<()> {
    while let Some(due) = run.turn().await {
        let Some(shot) = run.shot() else { return Ok(()) };
        let asks = run.door == Door::Grpc;
        let question = if asks { grpc::question(&run.path, &shot) } else { request(&run.path, &shot) };
        let answer = sender.send_request(question).await.map_err(io::Error::other)?;
        let (status, kind) = (answer.status().as_u16(), shot.kind);
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        run.answered(kind, if asks { grpc::verdict(&body) } else { status }, due);
    }
    Ok(())
}

fn request(path: &str, shot: &Shot<'_>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = format!("https://{HOST}{path}").parse().unwrap();
    for (name, value) in [(AUTHORIZATION, shot.authorization), (DPOP, shot.proof)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            request.headers_mut().insert(name, value);
        }
    }
    request
}
