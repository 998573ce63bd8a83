//! What a request on a proxy listener asks, and on whose word.

use crate::gate::{Authority, Question};
use crate::server::Sender;
use crate::uri::Scheme;
use http::request::Parts;

/// The request as a question to the gate.
pub(super) fn question<'q>(head: &'q Parts, sender: &'q Sender) -> Question<'q> {
    Question {
        method: &head.method,
        authority: Authority::of(head, sender.trusted),
        scheme: if sender.tls { Scheme::Https } else { Scheme::Http },
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
        certificate: &sender.certificate,
    }
}
