//! A second look at a token that was refused, for the log: what it says, and what was expected. Nothing in it was verified.

use super::{Issuer, IssuerId, IssuerRules, Issuers, MAX_TOKEN, TokenError, check};
use crate::jose::json::{Limits, Object, Value};
use crate::jose::{CompactJws, JoseHeader};

/// How much of a list is gathered: more is cut off anyway.
const ENOUGH: usize = 256;

type Finding = (&'static str, String);

impl Issuers {
    /// What this error is about: a name and a text for each part. `taken` are the issuers whose tokens are taken; empty: all.
    ///
    /// Bounded as the check itself is. What a claim says of the client stands under `claimed_client_id`, because it is no more than that.
    pub fn findings(&self, token: &str, error: TokenError, taken: &[IssuerId]) -> Vec<Finding> {
        if error == TokenError::TooLong {
            return vec![("length", token.len().to_string()), ("length_expected", MAX_TOKEN.to_string())];
        }
        if let TokenError::Denied(by) = error {
            return vec![("denied_by", by.name().to_owned())];
        }
        let Ok(jws) = CompactJws::split(token) else { return Vec::new() };
        let header = JoseHeader::of_token(jws.header_segment).ok();
        let claims = Object::parse(&jws.payload, Limits::TOKEN).unwrap_or_default();
        let reading = Reading { issuers: self, header, claims, taken };
        let mut found = reading.about(error);
        if !found.iter().any(|(name, _)| *name == "iss") {
            found.extend(reading.text("iss").map(|iss| ("iss", iss)));
        }
        found.extend(reading.client_id().map(|client_id| ("claimed_client_id", client_id)));
        found
    }
}

/// A token taken apart as far as it goes.
struct Reading<'a> {
    issuers: &'a Issuers,
    header: Option<JoseHeader>,
    claims: Object<'a>,
    taken: &'a [IssuerId],
}

impl Reading<'_> {
    fn about(&self, error: TokenError) -> Vec<Finding> {
        match error {
            TokenError::Type => [
                ("typ", self.header_member(|header| header.typ.as_ref())),
                ("typ_expected", self.expected(|rules| &rules.token_types)),
            ]
            .into_iter()
            .chain(check::mark_of_another_jwt(&self.claims).map(|claim| ("claim", claim.to_owned())))
            .collect(),
            TokenError::Algorithm => vec![
                ("alg", self.header_member(|header| header.alg.as_ref())),
                ("alg_expected", self.expected_algorithms()),
            ],
            TokenError::ClaimMissing(claim) | TokenError::ClaimType(claim) => {
                vec![("claim", self.issuers.claim_name(claim).to_owned())]
            }
            TokenError::Issuer => {
                let iss = self.text("iss").unwrap_or_else(none);
                vec![("iss", iss), ("iss_expected", words(self.takers().map(|rules| rules.issuer.as_str())))]
            }
            TokenError::Audience => {
                vec![("aud", self.audience()), ("aud_expected", self.expected(|rules| &rules.audiences))]
            }
            TokenError::Expired => vec![("exp", self.number("exp"))],
            TokenError::NotYetValid => vec![("nbf", self.number("nbf"))],
            TokenError::IssuedInFuture => vec![("iat", self.number("iat"))],
            TokenError::Confirmation => vec![("cnf", self.confirmation())],
            TokenError::UnknownKey(_) | TokenError::Signature => vec![
                ("kid", self.header_member(|header| header.kid.as_ref())),
                ("alg", self.header_member(|header| header.alg.as_ref())),
            ],
            TokenError::TooLong
            | TokenError::Malformed
            | TokenError::TooDeep
            | TokenError::TooMany
            | TokenError::Critical
            | TokenError::KeysUnavailable(_)
            | TokenError::Inactive
            | TokenError::NotIntrospected(_)
            | TokenError::IntrospectionUnavailable(_)
            | TokenError::IntrospectionBusy(_)
            | TokenError::Denied(_) => Vec::new(),
        }
    }

    fn header_member(&self, member: impl FnOnce(&JoseHeader) -> Option<&String>) -> String {
        self.header.as_ref().and_then(member).cloned().unwrap_or_else(none)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.claims.get(name)?.as_str().map(str::to_owned)
    }

    /// Where the issuer that the token names puts it.
    fn client_id(&self) -> Option<String> {
        self.rules().find_map(|rules| rules.claims.client_id(&self.claims).ok().flatten()).map(str::to_owned)
    }

    fn number(&self, name: &str) -> String {
        let number = self.claims.get(name).and_then(Value::as_number);
        number.map_or_else(none, |number| number.to_string())
    }

    fn audience(&self) -> String {
        let Some(audience) = self.claims.get("aud") else { return none() };
        let all = audience.as_array().unwrap_or(std::slice::from_ref(audience));
        words(all.iter().filter_map(Value::as_str))
    }

    /// The names of its members: which kinds of key it speaks of.
    fn confirmation(&self) -> String {
        let cnf = self.claims.get("cnf").and_then(Value::as_object);
        cnf.map_or_else(none, |cnf| words(cnf.iter().map(|(name, _)| name)))
    }

    /// The rules of the issuer that the token names; of all that are taken where it names none of them.
    fn rules(&self) -> impl Iterator<Item = &IssuerRules> {
        let iss = self.claims.get("iss").and_then(Value::as_str);
        let known = self.takers().any(|rules| Some(rules.issuer.as_str()) == iss);
        self.takers().filter(move |rules| !known || Some(rules.issuer.as_str()) == iss)
    }

    fn takers(&self) -> impl Iterator<Item = &IssuerRules> {
        let is_taken = |(id, _): &(IssuerId, &Issuer)| self.taken.is_empty() || self.taken.contains(id);
        self.issuers.iter().filter(is_taken).map(|(_, issuer)| &issuer.rules)
    }

    fn expected(&self, list: impl Fn(&IssuerRules) -> &Vec<String>) -> String {
        words(self.rules().flat_map(|rules| list(rules).iter().map(String::as_str)))
    }

    fn expected_algorithms(&self) -> String {
        words(self.rules().flat_map(|rules| rules.algorithms.iter().map(|algorithm| algorithm.name())))
    }
}

/// With spaces between, each once, and no more than will be shown.
fn words<'w>(all: impl Iterator<Item = &'w str>) -> String {
    let mut text = String::new();
    for word in all {
        if text.len() > ENOUGH {
            break;
        }
        if !text.split(' ').any(|known| known == word) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
    }
    text
}

fn none() -> String {
    "none".to_owned()
}
