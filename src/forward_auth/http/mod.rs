//! Over HTTP: nginx (`auth_request`), Traefik, Caddy and HAProxy describe the request in header fields; Envoy's `ext_authz` and the Gateway
//! API's `ExternalAuth` send its head as it is, under `/check`.

mod answer;
mod describe;

use super::described::Fault;
use super::{Body, Decisions, Verdict};
use crate::clock::UnixTime;
use crate::denial::DescriptionError;
use crate::doctor::Arrival;
use crate::entrance::Arrived;
use crate::gate::Answer;
use crate::observe::Exchange;
use crate::server::{Door, Peer, Sender};
use ::http::header::ORIGIN;
use ::http::request::Parts;
use ::http::{Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;

/// The door that answers other proxies in HTTP.
#[derive(Debug)]
pub struct ForwardAuth(pub Arc<Decisions>);

impl Door for ForwardAuth {
    type Body = Body;

    /// One question, from its head to the answer. A body says nothing about who may pass and is not read.
    fn serve<H: AsRef<Self> + Send + Sync>(
        house: H,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + use<H> {
        let Arrived { sender, now, mut exchange } = house.as_ref().0.entrance.receive(peer, &request);
        let (head, _) = request.into_parts();
        async move {
            let answer = house.as_ref().answer(&sender, &head, now, &mut exchange).await;
            exchange.status(answer.status);
            let mut response = Response::new(Body::of(answer.body, None).recorded(exchange));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response
        }
    }
}

impl ForwardAuth {
    /// The straight line: who asks, what about, and what the gate says.
    async fn answer(&self, sender: &Sender, head: &Parts, now: UnixTime, exchange: &mut Exchange) -> Answer {
        let described = if sender.trusted {
            describe::read(head)
        } else {
            Err(Fault::in_field(DescriptionError::Untrusted, ""))
        };
        if let Some(marked) = self.0.marked(&head.headers) {
            let arrival = Arrival::new("forward_auth", exchange.listener_name(), sender.peer, head.version);
            return self.0.examine(&marked, arrival, sender, described, &head.headers, exchange);
        }
        let described = match described {
            Ok(described) => described,
            Err(fault) => return self.0.refuse(&fault, head.headers.get(ORIGIN), exchange),
        };
        match self.0.about(&described, sender, now, exchange).await {
            Verdict::Pass(passage) => {
                let answer = answer::allow(passage, exchange.request_id());
                // Those who are here too have their turn first. So answers go out in bunches: each by itself would wake its receiver, at up
                // to a tenth of what the signature costs.
                tokio::task::yield_now().await;
                answer
            }
            Verdict::Preflight(mut answer, without) => {
                answer::take_away(without, &mut answer.headers);
                answer
            }
            Verdict::Refuse(answer) => answer,
        }
    }
}
