//! What an issuer answered to a token request that had a proof (RFC 6749 section 5.1), and what the client gets.

use super::{DoesNotFit, Seal};
use crate::jose::json::{JsonError, Limits, Object, Outline};
use crate::jose::{CompactJws, Thumbprint};

/// The longest answer that is read.
pub const MAX_ANSWER: usize = 256 * 1024;

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// This document, in which every token is sealed.
    Sealed(String),
    /// The access token has a `cnf` of its own: what the issuer wrote, the refresh token sealed where there is one.
    Passed(String),
}

/// Why an answer is not handed on: a token could slip through unsealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Longer than [`MAX_ANSWER`].
    #[error("the answer is too long")]
    TooLong,
    /// No JSON, or one that two readers may read differently.
    #[error("the answer is no JSON object: {0}")]
    Json(#[from] JsonError),
    /// No `access_token` that is a text.
    #[error("the answer has no access_token")]
    NoAccessToken,
    /// A `refresh_token` that is no text.
    #[error("the answer's refresh_token is no text")]
    RefreshToken,
    /// `token_type` is neither Bearer nor DPoP.
    #[error("the answer's token_type is neither Bearer nor DPoP")]
    TokenType,
    /// A token cannot be sealed.
    #[error(transparent)]
    Token(#[from] DoesNotFit),
}

impl Seal {
    /// Seals the tokens of a successful answer for the key `jkt`; the refresh token for no key where the request authenticated the client
    /// (RFC 9449 section 5). Every other member stays as it was written.
    ///
    /// What decides is the token, not `token_type`: the issuer saw no proof, so one that says DPoP and shows no `cnf` is sealed all the same.
    ///
    /// # Errors
    /// [`AnswerError`], as its variants say.
    pub fn seal_answer(
        &self,
        body: &[u8],
        jkt: &Thumbprint,
        client_authenticated: bool,
    ) -> Result<Answered, AnswerError> {
        if body.len() > MAX_ANSWER {
            return Err(AnswerError::TooLong);
        }
        let answer = Object::parse(body, Limits::TOKEN)?;
        let access = answer.get("access_token").and_then(|token| token.as_str());
        let access = access.ok_or(AnswerError::NoAccessToken)?;
        // RFC 6749 section 5.1: the value is case insensitive.
        let kind = answer.get("token_type").and_then(|kind| kind.as_str()).unwrap_or_default();
        if !["Bearer", "DPoP"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            return Err(AnswerError::TokenType);
        }
        let refresh = match answer.get("refresh_token") {
            None => None,
            Some(token) => {
                let token = token.as_str().ok_or(AnswerError::RefreshToken)?;
                Some(self.seal_refresh(token, (!client_authenticated).then_some(jkt))?)
            }
        };
        let own = has_cnf(access);
        let sealed = if own { None } else { Some(self.seal_access(access, jkt)?) };
        let texts = [
            ("token_type", sealed.is_some().then_some("DPoP")),
            ("access_token", sealed.as_deref()),
            ("refresh_token", refresh.as_deref()),
        ];
        let texts: Vec<_> = texts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
        let document = Outline::parse(body)?.with_texts(&texts);
        Ok(if own { Answered::Passed(document) } else { Answered::Sealed(document) })
    }
}

/// Whether the issuer bound this token already, as far as it shows. Nothing is verified: a token that lies here is refused when it is used.
fn has_cnf(token: &str) -> bool {
    let claims = CompactJws::split(token).ok().map(|jws| jws.payload);
    claims.is_some_and(|claims| {
        Object::parse(&claims, Limits::TOKEN).is_ok_and(|claims| claims.get("cnf").is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{SealingSecret, encode};

    fn seal() -> Seal {
        Seal::new("legacy", SealingSecret::new(&[7; 32]), Vec::new())
    }

    fn key() -> Thumbprint {
        Thumbprint::new([5; 32])
    }

    fn answer(body: &str) -> Result<Answered, AnswerError> {
        seal().seal_answer(body.as_bytes(), &key(), false)
    }

    fn member(document: &str, name: &str) -> String {
        let object = Object::parse(document.as_bytes(), Limits::TOKEN).unwrap();
        object.get(name).and_then(|value| value.as_str()).unwrap().to_owned()
    }

    #[test]
    fn every_token_is_sealed_and_the_rest_stays_as_written() {
        let body = r#" {"token_type":"bearer", "x":{"a": [1.50, null]},"access_token":"inner","refresh_\u0074oken":"again","\u00e9\"":"\u00e9","expires_in":3600 } "#;
        let Ok(Answered::Sealed(document)) = answer(body) else { panic!("not sealed") };
        assert_eq!(member(&document, "token_type"), "DPoP");
        let opened = seal().open_access(&member(&document, "access_token")).unwrap();
        assert_eq!((opened.inner.expose(), opened.jkt), ("inner", key()));
        let refresh = member(&document, "refresh_token");
        assert_eq!(seal().open_refresh(&refresh, &key()).unwrap().expose(), "again");
        assert!(seal().open_refresh(&refresh, &Thumbprint::new([6; 32])).is_err());
        for kept in [r#""x":{"a": [1.50, null]}"#, r#""é\"":"\u00e9""#, r#""expires_in":3600}"#] {
            assert!(document.contains(kept), "{document}");
        }
        assert!(!document.contains("inner") && !document.contains("again"), "{document}");
    }

    #[test]
    fn the_refresh_token_of_a_client_that_authenticates_itself_is_bound_to_no_key() {
        let body = br#"{"token_type":"Bearer","access_token":"inner","refresh_token":"again"}"#;
        let Ok(Answered::Sealed(document)) = seal().seal_answer(body, &key(), true) else {
            panic!("not sealed")
        };
        let refresh = member(&document, "refresh_token");
        assert!(seal().open_refresh(&refresh, &Thumbprint::new([6; 32])).is_ok());
        assert_eq!(seal().open_access(&member(&document, "access_token")).unwrap().jkt, key());
    }

    #[test]
    fn a_token_with_a_cnf_of_its_own_is_not_sealed() {
        let jwt = |claims: &str| format!("{}.{}.{}", encode(b"{}"), encode(claims.as_bytes()), encode(b"s"));
        for (claims, own) in
            [(r#"{"cnf":{}}"#, true), (r#"{"cnf":null}"#, false), ("{}", false), ("cnf", false)]
        {
            for kind in ["Bearer", "DPoP"] {
                let token = jwt(claims);
                let body =
                    format!(r#"{{"token_type":"{kind}","access_token":"{token}","refresh_token":"again"}}"#);
                let document = match answer(&body).unwrap() {
                    Answered::Passed(document) if own => document,
                    Answered::Sealed(document) if !own => document,
                    other @ (Answered::Passed(_) | Answered::Sealed(_)) => panic!("{claims}: {other:?}"),
                };
                assert_eq!(member(&document, "access_token") == token, own, "{claims}");
                assert_eq!(member(&document, "token_type"), if own { kind } else { "DPoP" });
                assert!(!document.contains("again"), "{document}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_whole_is_not_handed_on() {
        use AnswerError as E;
        let long = format!(r#"{{"token_type":"Bearer","access_token":"{}"}}"#, "a".repeat(20_000));
        let longer = format!("{long}{}", " ".repeat(MAX_ANSWER));
        let cases = [
            ("", E::Json(JsonError::Syntax)),
            ("access_token=inner&token_type=Bearer", E::Json(JsonError::Syntax)),
            (r#"[{"access_token":"inner","token_type":"Bearer"}]"#, E::Json(JsonError::Syntax)),
            (r#"{"access_token":"inner","token_type":"Bearer"} {}"#, E::Json(JsonError::Syntax)),
            (
                r#"{"access_token":"a","token_type":"Bearer","access_token":"b"}"#,
                E::Json(JsonError::Duplicate),
            ),
            (
                r#"{"access_token":"a","token_type":"Bearer","access_\u0074oken":"b"}"#,
                E::Json(JsonError::Duplicate),
            ),
            (
                r#"{"access_token":"a","token_type":"Bearer","x":{"y":1,"y":2}}"#,
                E::Json(JsonError::Duplicate),
            ),
            (r#"{"token_type":"Bearer"}"#, E::NoAccessToken),
            (r#"{"token_type":"Bearer","access_token":null}"#, E::NoAccessToken),
            (r#"{"token_type":"Bearer","access_token":["inner"]}"#, E::NoAccessToken),
            (r#"{"access_token":"inner"}"#, E::TokenType),
            (r#"{"access_token":"inner","token_type":"N_A"}"#, E::TokenType),
            (r#"{"access_token":"inner","token_type":"mac"}"#, E::TokenType),
            (r#"{"access_token":"inner","token_type":"Bearer","refresh_token":1}"#, E::RefreshToken),
            (r#"{"access_token":"","token_type":"Bearer"}"#, E::Token(DoesNotFit)),
            (r#"{"access_token":"a b","token_type":"Bearer"}"#, E::Token(DoesNotFit)),
            (r#"{"access_token":"kp1.inner","token_type":"Bearer"}"#, E::Token(DoesNotFit)),
            (r#"{"access_token":"inner","token_type":"Bearer","refresh_token":""}"#, E::Token(DoesNotFit)),
            (&long, E::Token(DoesNotFit)),
            (&longer, E::TooLong),
        ];
        for (body, error) in cases {
            assert_eq!(answer(body), Err(error), "{}", &body[..body.len().min(80)]);
        }
        let null = r#"{"access_token":"inner","token_type":"Bearer","refresh_token":null}"#;
        assert!(
            matches!(answer(null), Ok(Answered::Sealed(document)) if document.contains(r#""refresh_token":null"#))
        );
    }
}
