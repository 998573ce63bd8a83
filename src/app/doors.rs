//! What the connections of each kind of listener serve: for each request the configuration that runs when it begins, and no other.

use super::generation::Generation;
use crate::config::ListenerMode;
use crate::forward_auth::{self, ForwardAuth};
use crate::names::ListenerId;
use crate::proxy::{self, Proxy};
use crate::server::{Drain, Limits, Listener, Peer, Serve, Tls};
use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;

/// Every door of the configuration that runs.
#[derive(Clone, Debug)]
pub(super) struct Doors(pub(super) Arc<ArcSwap<Generation>>);

/// A listener that forwards.
#[derive(Clone)]
struct Forwarding(Doors);

/// A listener that answers other proxies' questions.
#[derive(Clone)]
struct Decisions(Doors);

/// A request's hold on the configuration that it began with.
struct Held(Arc<Generation>);

impl Doors {
    /// Serves a listener of this kind until it stops accepting.
    pub(super) fn run(
        &self,
        mode: ListenerMode,
        listener: Listener,
        id: ListenerId,
        tls: Option<Tls>,
        drain: &Drain,
    ) {
        let doors = self.clone();
        // A task of the drain: it ends when nobody is left whom the system has connected and we have not accepted.
        match mode {
            ListenerMode::Proxy => {
                drain.spawn(listener.run(id, tls, Forwarding(doors), Limits::DEFAULT, drain.clone()));
            }
            // No plan has a listener for gRPC yet.
            ListenerMode::ForwardAuth | ListenerMode::ExtAuthzGrpc => {
                drain.spawn(listener.run(id, tls, Decisions(doors), Limits::DEFAULT, drain.clone()));
            }
        }
    }

    fn held(&self) -> Held {
        Held(self.0.load_full())
    }
}

impl AsRef<Proxy> for Held {
    fn as_ref(&self) -> &Proxy {
        &self.0.proxy
    }
}

impl AsRef<ForwardAuth> for Held {
    fn as_ref(&self) -> &ForwardAuth {
        &self.0.forward_auth
    }
}

impl Serve for Forwarding {
    type Body = proxy::Body;

    fn serve(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<proxy::Body>> + Send {
        Proxy::serve(self.0.held(), peer, request)
    }
}

impl Serve for Decisions {
    type Body = forward_auth::Body;

    fn serve(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<forward_auth::Body>> + Send {
        ForwardAuth::serve(self.0.held(), peer, request)
    }
}
