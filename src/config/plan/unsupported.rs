//! What the configuration has a place for and is not built yet. When it is, its line here goes.

use crate::config::document::{Document, Token};
use crate::config::problem::{Findings, Position};

/// Notes every use of what is not built yet.
pub(super) fn note(document: &Document, findings: &mut Findings) {
    for listener in document.listeners.iter().flat_map(|list| &list.items) {
        if let Some(client_ca) = listener.tls.as_ref().and_then(|tls| tls.client_ca.as_ref()) {
            refuse(&client_ca.place, "a client certificate", "delete client_ca", findings);
        }
    }
    for route in document.routes.iter().flat_map(|list| &list.items) {
        for token in route.accept.items.iter().filter(|token| token.value == Token::Mtls) {
            refuse(&token.place, "mtls", "delete it: dpop and bearer are", findings);
        }
    }
}

fn refuse(place: &Position, what: &str, help: &str, findings: &mut Findings) {
    findings.problem(place, format!("{what} is not supported yet"), help);
}
