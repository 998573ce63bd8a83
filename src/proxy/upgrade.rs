//! A switch to another protocol (RFC 9110 section 7.8), as WebSocket asks for it (RFC 6455 section 4.1): forwarded only where the route lists
//! the protocol, and a tunnel only after the server's 101.

use super::until::{End, Until};
use super::{Body, Proxy, ResponseBody, ask};
use crate::denial::{Denial, UnsupportedError};
use crate::headers::lists;
use crate::names::RouteId;
use crate::observe::Exchange;
use crate::server::{ClientSocket, Sender, Takeover};
use crate::upstream::{Tunnel, UpstreamBody};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Response, Version};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

impl Proxy {
    /// Leaves in `Upgrade` what the route lists of it, and nothing of the field where that is nothing.
    ///
    /// To ask for a switch is no demand: a client whose wish is not followed goes on in HTTP/1.1. WebSocket alone is refused where it is not
    /// listed, since to drop that wish silently would leave both ends guessing.
    ///
    /// # Errors
    /// It is WebSocket, and the route does not list it or the request cannot ask for it.
    pub(super) fn settle_upgrade(
        &self,
        head: &mut Parts,
        has_body: bool,
        sender: &Sender,
    ) -> Result<(), (Denial, RouteId)> {
        // Where no route is found, the gate says so.
        if let Ok(route) = self.gate.route_of(&ask::question(head, sender)) {
            let listed = self.forwarding.get(route).map_or(&[][..], |forwarding| &forwarding.upgrades);
            let can_ask =
                head.version == Version::HTTP_11 && lists(&head.headers, &CONNECTION, "upgrade") && !has_body;
            if let Some(followed) = followed(&head.headers, listed).filter(|_| can_ask) {
                head.headers.insert(UPGRADE, followed);
                return Ok(());
            }
            if protocols(&head.headers).any(is_websocket) {
                return Err((UnsupportedError::WebSocket.into(), route));
            }
        }
        head.headers.remove(UPGRADE);
        Ok(())
    }
}

/// What `Upgrade` asks for, in the order of the client's preference.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(UPGRADE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Those of them that a route lists.
fn followed(headers: &HeaderMap, listed: &[String]) -> Option<HeaderValue> {
    let is_listed = |protocol: &[u8]| {
        listed.iter().any(|listed| {
            let same = |text: &[u8]| text.eq_ignore_ascii_case(listed.as_bytes());
            same(protocol) || same(name(protocol))
        })
    };
    let followed: Vec<&[u8]> = protocols(headers).filter(|protocol| is_listed(protocol)).collect();
    if followed.is_empty() { None } else { HeaderValue::from_bytes(&followed.join(&b", "[..])).ok() }
}

/// A protocol without its version.
fn name(protocol: &[u8]) -> &[u8] {
    protocol.split(|byte| *byte == b'/').next().unwrap_or_default()
}

fn is_websocket(protocol: &[u8]) -> bool {
    name(protocol).eq_ignore_ascii_case(b"websocket")
}

/// What goes to the upstream of the switch that is asked for: hop-by-hop fields of our own.
pub(super) fn ask_for(headers: &mut HeaderMap, protocols: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocols);
}

/// The 101 to the client; the record goes on with the tunnel, and is written when that ends.
pub(super) fn opened(
    response: Response<UpstreamBody>,
    protocol: HeaderValue,
    tunnel: Tunnel,
    until: Option<Box<Until>>,
    exchange: Exchange,
) -> Response<Body> {
    let mut response = response.map(|_| ResponseBody::of_a_switch());
    ask_for(response.headers_mut(), protocol);
    response.extensions_mut().insert(Takeover::new(move |socket| async move {
        let mut client = Client { socket, exchange };
        let end = tokio::select! {
            biased;
            end = tunnel.carry(&mut client) => Ok(end),
            end = end_of_token(until) => Err(end),
        };
        match end {
            Ok(end) => client.exchange.cut(end.result(), end.label()),
            Err(end) => client.exchange.cut(None, Some(end.told())),
        }
    }));
    response
}

/// Done when the token is no longer good, if that matters.
async fn end_of_token(until: Option<Box<Until>>) -> End {
    match until {
        Some(mut until) => poll_fn(|cx| until.poll(cx)).await,
        None => pending().await,
    }
}

/// The client's side of a tunnel: what it is sent stands in the record.
struct Client {
    socket: ClientSocket,
    exchange: Exchange,
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.socket).poll_write(cx, buf))?;
        this.exchange.sent(count.try_into().unwrap_or(u64::MAX));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_route_lists_is_followed() {
        let followed = |asked: &[&'static str], listed: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in asked {
                headers.append(UPGRADE, HeaderValue::from_static(line));
            }
            let listed: Vec<String> = listed.iter().map(|name| (*name).to_owned()).collect();
            followed(&headers, &listed).map(|value| value.to_str().unwrap().to_owned())
        };
        for (asked, listed, expected) in [
            (&["websocket"][..], &["websocket"][..], Some("websocket")),
            (&["WebSocket"], &["websocket"], Some("WebSocket")),
            (&["h2c, websocket/13"], &["websocket"], Some("websocket/13")),
            (&["h2c", "websocket", "foo/1"], &["websocket", "foo/1"], Some("websocket, foo/1")),
            (&["foo/2"], &["foo/1"], None),
            (&["websockets"], &["websocket"], None),
            (&["websocket"], &[], None),
            (&[""], &["websocket"], None),
        ] {
            assert_eq!(followed(asked, listed).as_deref(), expected, "{asked:?} {listed:?}");
        }
    }
}
