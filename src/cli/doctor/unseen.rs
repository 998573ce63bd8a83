//! The gateway has not seen the request: what came instead.

use crate::client::{Answer, CertificateTrouble, ClientError};
use http::header::{LOCATION, SERVER};

const MARK: &str = "or X-Keyproof-Doctor is dropped on the way (Envoy: list it in allowed_headers; HAProxy: in asked_with of the Lua file; Traefik: in authRequestHeaders, where there is such a list), or another gateway was asked than the one with this admin address";

/// The front answered by itself.
pub(super) fn answered(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let text = |name| answer.headers.get(name).and_then(|line| line.to_str().ok());
    let by = text(&SERVER).map(|server| format!(" ({server})")).unwrap_or_default();
    let why = match status {
        300..=399 => {
            let to = text(&LOCATION).unwrap_or("nowhere");
            format!("it redirects to {to}: clients of an API do not follow, and a proof is for one URL. Call that URL")
        }
        502..=504 => "it does not reach the gateway: is the address in its configuration a listener of the gateway, and is that up?".to_owned(),
        500..=599 => "it failed by itself: its log says why".to_owned(),
        404 => format!("it has no route for this URL, {MARK}"),
        400 | 421 | 431 => format!("it refused the request by itself: its log says why; {MARK}"),
        200..=299 => format!("it does not ask the gateway about this URL, so everybody passes; {MARK}"),
        _ => format!("the front refused by itself; {MARK}"),
    };
    format!("the gateway has not seen the request. {status} came from the front{by}: {why}")
}

/// Nobody answered.
pub(super) fn unanswered(error: &ClientError) -> String {
    let help = match error.certificate() {
        Some(CertificateTrouble::Name) => {
            "the front's certificate is for other names than the URL's: give the front one for this name, or choose it by SNI"
        }
        Some(CertificateTrouble::Expired) => {
            "the front's certificate has expired: renew it, and have the front read it again"
        }
        Some(CertificateTrouble::NotYetValid) => {
            "the front's certificate is not valid yet: look at both clocks"
        }
        Some(CertificateTrouble::UnknownAuthority) => {
            "nobody here vouches for the front's certificate: --cacert names its CA; if it is a public one, the front does not send its chain"
        }
        None => "is the front up, and does this name lead to it? --connect-to leads elsewhere",
    };
    format!("the front gives no answer: {error}; {help}")
}
