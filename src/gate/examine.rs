//! A request that `keyproof doctor` has marked: it is looked at, not decided about, and nothing of it is used up.

use super::locate::Located;
use super::{Authority, Gate, Question, Refused, Stop};
use crate::authorize::Policy;
use crate::clock::UnixTime;
use crate::denial::{Denial, Kind};
use crate::doctor::{Answered, Arrival, Fault, Marked, Place, Sighting, Verdict, Window, told};
use crate::dpop::TargetUri;
use crate::headers::DPOP;
use crate::names::RouteId;
use crate::observe::Exchange;
use crate::uri::Scheme;
use http::HeaderValue;
use http::header::{HOST, HeaderMap, WWW_AUTHENTICATE};

/// What a door could make of a marked request.
#[derive(Clone, Copy, Debug)]
pub enum Understood<'a, 'q> {
    /// This question, and the scheme that the connection or the front says.
    Question(&'a Question<'q>, Option<Scheme>),
    /// None: why not, and which header fields that is about.
    Nothing(Denial, &'a str),
}

/// Where it leads, as far as that could be found out.
#[derive(Debug, Default)]
struct Whereabouts {
    htu: Option<String>,
    route: Option<RouteId>,
    fault: Option<Fault>,
    verdict: Option<Verdict>,
}

impl Gate {
    /// The mark that this request brings, if the admin address knows it. It is used up.
    pub fn marked(&self, headers: &HeaderMap) -> Option<Marked> {
        if !self.marks.any() {
            return None;
        }
        self.marks.used_by(headers, self.clock.moment().steady)
    }

    /// Keeps what came with the mark, for whoever registered it, and answers with a challenge and a nonce: they show what of an answer gets
    /// back. A peer that may not ask gets the refusal that it always gets.
    pub fn examine(
        &self,
        marked: &Marked,
        arrival: &Arrival,
        understood: Understood<'_, '_>,
        headers: &HeaderMap,
        exchange: &mut Exchange,
    ) -> Box<Refused> {
        let (place, whereabouts, denial, origin) = match understood {
            Understood::Question(question, scheme) => {
                let place = place(question, scheme);
                (Some(place), self.whereabouts_of(question), Denial::Marked, question.origin())
            }
            Understood::Nothing(denial, fields) => {
                let fault = Some(fault(denial, fields));
                let denial = if denial.row().kind == Kind::Forbidden { denial } else { Denial::Marked };
                (None, Whereabouts { fault, ..Whereabouts::default() }, denial, None)
            }
        };
        let Whereabouts { htu, route, fault, verdict } = whereabouts;
        if let Some(route) = route {
            exchange.route(route);
        }
        let mut refused = self.refuse(&Stop { refusal: denial.into(), route, allow: None }, origin, exchange);
        let answer = &mut refused.answer;
        if denial == Denial::Marked
            && !answer.headers.contains_key(WWW_AUTHENTICATE)
            && let Ok(challenge) = HeaderValue::try_from(self.challenges.without_route(denial))
        {
            answer.headers.insert(WWW_AUTHENTICATE, challenge);
        }
        let window = self.authorizer.proofs.window();
        let sighting = Sighting {
            at: self.clock.now().seconds_after(UnixTime::EPOCH),
            arrival: arrival.clone(),
            place,
            fault,
            htu,
            route: route.map(|_| exchange.route_name().to_owned()),
            origins: self.map.origins().map(|origin| origin.as_str().to_owned()).collect(),
            window: Window { max_age: window.max_age.as_secs(), leeway: window.leeway.as_secs() },
            verdict,
            headers: told(headers),
            answered: Answered::of(answer.status, &answer.headers),
        };
        self.marks.keep(marked, sighting, self.clock.moment().steady);
        refused
    }

    /// Which origin, path and route that is, and what token and proof would come to there.
    fn whereabouts_of(&self, question: &Question<'_>) -> Whereabouts {
        let located = match self.map.locate(question) {
            Ok(located) => located,
            Err(denial) => return Whereabouts { fault: Some(fault(denial, "")), ..Whereabouts::default() },
        };
        let target = TargetUri { origin: &located.site.origin, path: located.path.as_str() };
        let htu = Some(target.to_string());
        match self.route(&located, question.method) {
            Ok((route, rule)) => {
                let verdict = Some(self.verdict(&rule.policy, question, &located));
                Whereabouts { htu, route: Some(route), fault: None, verdict }
            }
            Err(stop) => {
                let fault = Some(fault(stop.refusal.denial, ""));
                Whereabouts { htu, fault, ..Whereabouts::default() }
            }
        }
    }

    /// Every check but the last, which alone has an effect. Two proofs are sent to see what becomes of two lines: the first is looked at.
    fn verdict(&self, policy: &Policy, question: &Question<'_>, located: &Located<'_, '_>) -> Verdict {
        let mut headers = question.headers.clone();
        let first = headers.get(DPOP).and_then(|line| line.as_bytes().split(|byte| *byte == b',').next());
        if let Some(Ok(first)) = first.map(HeaderValue::from_bytes) {
            headers.insert(DPOP, first);
        }
        let question = Question { headers: &headers, ..*question };
        match self.authorizer.verify(policy, &located.asked(&question), self.clock.moment()) {
            Ok(_) => {
                Verdict { passed: true, reason: "verified".to_owned(), text: "every check passed".to_owned() }
            }
            Err(refusal) => {
                let Fault { reason, text, .. } = fault(refusal.denial, "");
                Verdict { passed: false, reason, text }
            }
        }
    }
}

fn fault(denial: Denial, fields: &str) -> Fault {
    let fields = (!fields.is_empty()).then(|| fields.to_owned());
    Fault { reason: denial.label().to_owned(), text: denial.to_string(), fields }
}

fn place(question: &Question<'_>, scheme: Option<Scheme>) -> Place {
    let host =
        || question.headers.get(HOST).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    let authority = question.authority.as_ref().map(Authority::first);
    Place {
        method: question.method.as_str().to_owned(),
        scheme: scheme.map(|scheme| scheme.as_str().to_owned()),
        authority: authority.ok().map(str::to_owned).or_else(host),
        path: question.path.to_owned(),
        query: question.query.map(str::to_owned),
    }
}
