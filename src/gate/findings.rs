//! What the log line of a refusal says beside its reason (the answer says none of it).

use super::{Authority, Gate, Located, Question, Rule, Stop};
use crate::authorize::{Mode, Refusal};
use crate::denial::Denial;
use crate::observe::Exchange;
use crate::uri::without_secrets;
use http::StatusCode;
use http::header::HOST;

type Finding = (&'static str, String);

impl Gate {
    /// Looks a second time at a request that was refused on its route, or would have been, and tells the record what is wrong with it.
    pub(super) fn explain(
        &self,
        rule: &Rule,
        question: &Question<'_>,
        place: &Located<'_, '_>,
        refusal: &Refusal,
        exchange: &mut Exchange,
    ) {
        let (policy, asked) = (&rule.policy, place.asked(question));
        if let Some(skew) = self.authorizer.skew_of_refused(policy, &asked, refusal, self.clock.now()) {
            exchange.skew(skew);
        }
        if exchange.is_logged_with(status_of(refusal.denial, policy.mode)) {
            exchange.found(self.authorizer.findings(policy, &asked, refusal));
        }
    }

    /// The same for one that has come to no route.
    pub(super) fn explain_lost(&self, question: &Question<'_>, stop: &Stop, exchange: &mut Exchange) {
        if exchange.is_logged_with(stop.refusal.denial.status()) {
            exchange.found(self.whereabouts(question, stop));
        }
    }

    fn whereabouts(&self, question: &Question<'_>, stop: &Stop) -> Vec<Finding> {
        let denial = stop.refusal.denial;
        if let Denial::Authority(_) = denial {
            return authorities(question)
                .into_iter()
                .chain([("origins", self.map.served().to_owned())])
                .collect();
        }
        let allow = stop.allow.as_ref().filter(|_| matches!(denial, Denial::MethodNotAllowed));
        let allow = allow.and_then(|allow| allow.to_str().ok());
        allow.map(|allow| ("allow", allow.to_owned())).into_iter().collect()
    }
}

/// What the client called us by: the target's authority where it has one, and what `Host` says besides.
fn authorities(question: &Question<'_>) -> Vec<Finding> {
    let one = |name, authority: &str| (name, without_secrets(authority));
    match question.authority {
        Ok(Authority::One(one_only)) => vec![one("authority", one_only)],
        Ok(Authority::Target { target, host } | Authority::Same(target, host)) => {
            vec![one("authority", target), one("host", host)]
        }
        Err(_) => {
            let lines: Vec<_> = question.headers.get_all(HOST).iter().collect();
            let texts = lines.iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
            let texts: Vec<_> = texts.map(|text| without_secrets(&text)).collect();
            vec![("authority", if texts.is_empty() { "none".to_owned() } else { texts.join(", ") })]
        }
    }
}

/// The status that the line will have: where the request goes on, one that is no trouble of ours.
const fn status_of(denial: Denial, mode: Mode) -> StatusCode {
    if mode.overlooks(denial) { StatusCode::OK } else { denial.status() }
}
