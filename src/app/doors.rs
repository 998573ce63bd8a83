//! What the connections of each kind of listener serve: for each request the configuration that runs when it begins, and no other.

use super::generation::Generation;
use crate::config::ListenerMode;
use crate::forward_auth::{ExtAuthz, ForwardAuth};
use crate::names::ListenerId;
use crate::proxy::Proxy;
use crate::server::{Door, Drain, Limits, Listener, Peer, Serve, Tls};
use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use std::marker::PhantomData;
use std::sync::Arc;

/// Every door of the configuration that runs.
#[derive(Clone, Debug)]
pub(super) struct Doors(pub(super) Arc<ArcSwap<Generation>>);

/// The way to one kind of door.
struct Through<D>(Doors, PhantomData<fn() -> D>);

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
        // A task of the drain: it ends when nobody is left whom the system has connected and we have not accepted.
        match mode {
            ListenerMode::Proxy => {
                let serve = Through::<Proxy>::of(self);
                drain.spawn(listener.run(id, tls, serve, Limits::DEFAULT, drain.clone()));
            }
            ListenerMode::ForwardAuth => {
                let serve = Through::<ForwardAuth>::of(self);
                drain.spawn(listener.run(id, tls, serve, Limits::DEFAULT, drain.clone()));
            }
            ListenerMode::ExtAuthzGrpc => {
                let serve = Through::<ExtAuthz>::of(self);
                drain.spawn(listener.run(id, tls, serve, Limits::DEFAULT, drain.clone()));
            }
        }
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

impl AsRef<ExtAuthz> for Held {
    fn as_ref(&self) -> &ExtAuthz {
        &self.0.ext_authz
    }
}

impl<D> Through<D> {
    fn of(doors: &Doors) -> Self {
        Self(doors.clone(), PhantomData)
    }
}

impl<D> Clone for Through<D> {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl<D: Door> Serve for Through<D>
where
    Held: AsRef<D>,
{
    type Body = D::Body;

    fn serve(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<D::Body>> + Send {
        D::serve(Held(self.0.0.load_full()), peer, request)
    }
}
