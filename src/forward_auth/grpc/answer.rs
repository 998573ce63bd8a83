//! What Envoy is told.
//!
//! It sets first and removes afterwards: a header that is set must not stand among those to remove.

use super::call::Code;
use super::messages::{
    BoolValue, CheckResponse, DeniedHttpResponse, Field, HeaderValueOption, HttpStatus, OkHttpResponse,
    Status,
};
use crate::forward_auth::Verdict;
use crate::forward_auth::passage::Passage;
use crate::gate::Answer;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, VARY};

/// `HeaderAppendAction` of Envoy.
const APPEND_IF_EXISTS_OR_ADD: i32 = 0;
const OVERWRITE_IF_EXISTS_OR_ADD: i32 = 2;

/// The verdict as a message. A preflight is answered by us: Envoy lets nothing pass that is denied, whatever the status.
pub(super) fn of(verdict: Verdict) -> CheckResponse {
    match verdict {
        Verdict::Pass(passage) => allowed(passage),
        Verdict::Preflight(answer, _) | Verdict::Refuse(answer) => denied(answer),
    }
}

fn allowed(Passage { set, remove, show }: Passage) -> CheckResponse {
    let ok = OkHttpResponse {
        headers: set.iter().map(|(name, value)| overwrite(name, value)).collect(),
        headers_to_remove: remove.iter().map(text).collect(),
        response_headers_to_add: show.iter().map(|(name, value)| shown(name, value)).collect(),
    };
    CheckResponse { status: Some(status(Code::Ok)), ok_response: Some(ok), ..CheckResponse::default() }
}

/// The client's answer, which Envoy gives in our place.
pub(super) fn denied(answer: Answer) -> CheckResponse {
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: answer.status.as_u16().into() }),
        headers: answer.headers.iter().map(|(name, value)| overwrite(name, value)).collect(),
        body: answer.body,
    };
    let status = Some(status(Code::of(answer.status)));
    CheckResponse { status, denied_response: Some(denied), ..CheckResponse::default() }
}

fn status(code: Code) -> Status {
    Status { code: code.number().into() }
}

/// In the answer to the client: the upstream's own `Vary` stays beside ours.
fn shown(name: &HeaderName, value: &HeaderValue) -> HeaderValueOption {
    if *name == VARY {
        let append = Some(BoolValue { value: true });
        return HeaderValueOption {
            header: Some(field(name, value)),
            append,
            append_action: APPEND_IF_EXISTS_OR_ADD,
        };
    }
    overwrite(name, value)
}

fn overwrite(name: &HeaderName, value: &HeaderValue) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(field(name, value)),
        append: None,
        append_action: OVERWRITE_IF_EXISTS_OR_ADD,
    }
}

fn field(name: &HeaderName, value: &HeaderValue) -> Field {
    Field { key: text(name), value: Bytes::copy_from_slice(value.as_bytes()), raw_value: Bytes::new() }
}

fn text(name: &HeaderName) -> Bytes {
    Bytes::copy_from_slice(name.as_str().as_bytes())
}
