//! What of the answer got back, and what the clocks say.

use super::{Case, Cause, Finding};
use http::HeaderName;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, DATE, WWW_AUTHENTICATE};

/// A difference of clocks that nobody need know of, in seconds.
const NO_DIFFERENCE: f64 = 5.0;

/// What is wrong with the answer.
pub(super) fn findings(case: &Case) -> Vec<Finding> {
    let found =
        [status(case), twice(case), nonce(case), challenge(case), exposed(case), date(case), clock(case)];
    found.into_iter().flatten().collect()
}

/// The lines of a field as the gateway wrote them.
pub(super) fn answered<'c>(case: &'c Case, name: &HeaderName) -> Vec<&'c str> {
    let headers = case.sighting.answered.headers.iter();
    headers.filter(|(own, _)| own == name.as_str()).map(|(_, value)| value.as_str()).collect()
}

/// The lines of a field as they got back.
pub(super) fn came_back<'c>(case: &'c Case, name: &HeaderName) -> Vec<&'c str> {
    case.answer.headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect()
}

/// How far the gateway's clock is ahead of the one here, in seconds.
pub(super) fn ahead(case: &Case) -> f64 {
    case.sighting.at - case.between.seconds_after(crate::clock::UnixTime::EPOCH)
}

fn note(cause: Cause, text: String) -> Finding {
    Finding { cause, stops: false, text }
}

fn status(case: &Case) -> Option<Finding> {
    let (own, got) = (case.sighting.answered.status, case.answer.status.as_u16());
    if own == got {
        return None;
    }
    if (200..400).contains(&got) {
        let text =
            format!("the gateway refused with {own}, and the front let the request pass: {got} came back");
        return Some(Finding { cause: Cause::Obeyed, stops: true, text });
    }
    Some(note(Cause::Status, format!("the status is changed on the way back: {own} became {got}")))
}

fn twice(case: &Case) -> Option<Finding> {
    let text = format!(
        "the gateway was asked {} times for this one request: a proof is good for one, so the next would be a replay",
        case.times
    );
    (case.times > 1).then_some(Finding { cause: Cause::AskedTwice, stops: true, text })
}

fn nonce(case: &Case) -> Option<Finding> {
    let name = crate::headers::DPOP_NONCE;
    let (own, got) = (answered(case, &name), came_back(case, &name));
    let text = match got.as_slice() {
        same if *same == own => return None,
        [] => "DPoP-Nonce does not get back: clients that are asked for a nonce never learn it",
        _ => "DPoP-Nonce is changed on the way back",
    };
    Some(note(Cause::NonceLost, text.to_owned()))
}

/// A front may join the lines (RFC 9110 section 5.3), but not keep one of them.
fn challenge(case: &Case) -> Option<Finding> {
    let (own, got) = (answered(case, &WWW_AUTHENTICATE), came_back(case, &WWW_AUTHENTICATE));
    let whole = |lines: &[&str]| lines.join(", ");
    let text = if whole(&own) == whole(&got) {
        return None;
    } else if got.is_empty() {
        "WWW-Authenticate does not get back: clients do not learn why they are refused, nor that a nonce is wanted"
    } else if own.first().is_some_and(|first| *got == [*first]) {
        "of two WWW-Authenticate lines only the first gets back"
    } else if !got.iter().any(|line| own.contains(line)) {
        "WWW-Authenticate is another one when it gets back"
    } else {
        "WWW-Authenticate is changed on the way back"
    };
    Some(note(Cause::ChallengeLost, text.to_owned()))
}

/// What a script may read, where a browser's origin was sent.
fn exposed(case: &Case) -> Option<Finding> {
    let browser = case.sent.browser()?;
    let (own, got) =
        (answered(case, &ACCESS_CONTROL_EXPOSE_HEADERS), came_back(case, &ACCESS_CONTROL_EXPOSE_HEADERS));
    let allowed = came_back(case, &ACCESS_CONTROL_ALLOW_ORIGIN);
    let text = if own.is_empty() {
        format!("{browser} is none of the route's cors.origins: no script from there can read an answer")
    } else if allowed.len() > 1 {
        format!("Access-Control-Allow-Origin comes back {} times: browsers take one", allowed.len())
    } else if allowed.is_empty() || !got.join(",").to_ascii_lowercase().contains("dpop-nonce") {
        "Access-Control-Expose-Headers gets back without DPoP-Nonce: no script can read the nonce".to_owned()
    } else {
        return None;
    };
    Some(note(Cause::ExposedLost, text))
}

fn date(case: &Case) -> Option<Finding> {
    let text = "the answer has no Date: a client whose clock is wrong cannot find out";
    came_back(case, &DATE).is_empty().then(|| note(Cause::DateLost, text.to_owned()))
}

fn clock(case: &Case) -> Option<Finding> {
    let ahead = ahead(case);
    let window = case.sighting.window;
    if ahead.abs() <= NO_DIFFERENCE {
        return None;
    }
    let seconds = |number: u64| u32::try_from(number).map_or(f64::MAX, f64::from);
    let refused = ahead > seconds(window.max_age) || -ahead > seconds(window.leeway);
    let which = if ahead > 0.0 { "ahead of" } else { "behind" };
    let then = if refused {
        "proofs that are made here are refused, but for those with a nonce"
    } else {
        "proofs still pass"
    };
    let text = format!("the gateway's clock is {:.0} s {which} the one here: {then}", ahead.abs());
    Some(note(Cause::Clock, text))
}
