//! How the token and the proof were sent (RFC 9449 sections 4.3 check 1 and 7.1, RFC 6750 section 2).

use crate::denial::{CredentialsError, Denial, ProofCountError};
use crate::dpop::ProofError;
use crate::headers::{AuthScheme, DPOP, ascii, is_token, is_token68, only};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

/// An access token as presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The scheme it came under, whatever kind of token it is.
    pub scheme: AuthScheme,
    /// The token.
    pub token: &'a str,
}

impl<'a> Credentials<'a> {
    /// Reads the one `Authorization` line.
    ///
    /// A token in the query is never read (RFC 9700 section 4.3.2), and beside a header it is an error: a
    /// client uses one way only (RFC 6750 section 2).
    ///
    /// # Errors
    /// The reason, and the scheme where it can be told.
    pub fn read(
        headers: &'a HeaderMap,
        query: Option<&str>,
    ) -> Result<Self, (CredentialsError, Option<AuthScheme>)> {
        let line = only(headers, &AUTHORIZATION).map_err(|_| (CredentialsError::Repeated, None))?;
        let line = line.ok_or((CredentialsError::Missing, None))?;
        if query.is_some_and(has_access_token) {
            return Err((CredentialsError::TwoWays, None));
        }
        Self::parse(line)
    }

    /// `credentials = scheme 1*SP token68` (RFC 9110 section 11.4).
    fn parse(line: &'a HeaderValue) -> Result<Self, (CredentialsError, Option<AuthScheme>)> {
        let text = ascii(line).ok_or((CredentialsError::Malformed, None))?;
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !is_token(name.as_bytes()) {
            return Err((CredentialsError::Malformed, None));
        }
        let Some(scheme) = AuthScheme::from_name(name) else {
            return Err((CredentialsError::Missing, None));
        };
        let token = rest.trim_start_matches(' ');
        if !is_token68(token) {
            return Err((CredentialsError::Malformed, Some(scheme)));
        }
        Ok(Self { scheme, token })
    }
}

/// The one proof: exactly one `DPoP` line (RFC 9449 section 4.3 check 1).
///
/// # Errors
/// [`ProofCountError`]; a line that is not ASCII is no JWS.
pub(super) fn proof(headers: &HeaderMap) -> Result<&str, Denial> {
    let line = only(headers, &DPOP).map_err(|_| ProofCountError::Several)?;
    let line = line.ok_or(ProofCountError::Missing)?;
    ascii(line).ok_or(ProofError::Malformed.into())
}

/// Why this line is refused. Some fronts join two lines into one with a comma, which no proof has: it is looked for where the line turned
/// out not to be one.
pub(super) fn refused_line(line: &str, error: ProofError) -> Denial {
    let no_proof = matches!(error, ProofError::Malformed | ProofError::TooLong);
    if no_proof && line.contains(',') { ProofCountError::Several.into() } else { error.into() }
}

/// Whether the query has a parameter `access_token` (RFC 6750 section 2.3), however its name is escaped.
fn has_access_token(query: &str) -> bool {
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_owned();
    query.split(['&', ';']).any(|parameter| unescaped_equals(&name(parameter), b"access_token"))
}

fn unescaped_equals(escaped: &str, plain: &[u8]) -> bool {
    let mut rest = escaped.as_bytes();
    for &expected in plain {
        let (byte, tail) = match rest {
            [b'%', high, low, tail @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => return false,
            },
            [byte, tail @ ..] => (*byte, tail),
            [] => return false,
        };
        if byte != expected {
            return false;
        }
        rest = tail;
    }
    rest.is_empty()
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        lines: &[&str],
        query: Option<&str>,
    ) -> Result<(AuthScheme, String), (CredentialsError, Option<AuthScheme>)> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Credentials::read(&headers, query).map(|c| (c.scheme, c.token.to_owned()))
    }

    #[test]
    fn credentials_are_a_scheme_and_one_token() {
        use CredentialsError::{Malformed, Missing, Repeated, TwoWays};
        let token = |scheme, token: &str| Ok((scheme, token.to_owned()));
        let cases: &[(&[&str], Option<&str>, _)] = &[
            (&["DPoP abc.def-_~+/=="], None, token(AuthScheme::Dpop, "abc.def-_~+/==")),
            (&["dpop   abc"], None, token(AuthScheme::Dpop, "abc")),
            (&["BEARER abc"], Some("a=access_token"), token(AuthScheme::Bearer, "abc")),
            (&[], None, Err((Missing, None))),
            (&[], Some("access_token=abc"), Err((Missing, None))),
            (&["Basic dTpw"], None, Err((Missing, None))),
            (&["Digest username=\"a\", realm=\"b\""], None, Err((Missing, None))),
            (&["DPoP abc", "DPoP abc"], None, Err((Repeated, None))),
            (&["DPoP abc", "Bearer abc"], None, Err((Repeated, None))),
            (&["DPoP abc"], Some("x=1&access_token=abc"), Err((TwoWays, None))),
            (&["DPoP abc"], Some("access%5Ftoken"), Err((TwoWays, None))),
            (&["DPoP"], None, Err((Malformed, Some(AuthScheme::Dpop)))),
            (&["DPoP a b"], None, Err((Malformed, Some(AuthScheme::Dpop)))),
            (&["Bearer abc, DPoP abc"], None, Err((Malformed, Some(AuthScheme::Bearer)))),
            (&["Bearer ="], None, Err((Malformed, Some(AuthScheme::Bearer)))),
            (&["Bearer\tabc"], None, Err((Malformed, None))),
            (&[""], None, Err((Malformed, None))),
            (&["DPoP \u{e9}"], None, Err((Malformed, None))),
        ];
        for (lines, query, expected) in cases {
            assert_eq!(&read(lines, *query), expected, "{lines:?} {query:?}");
        }
    }

    #[test]
    fn there_is_exactly_one_proof() {
        let with = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(DPOP, HeaderValue::from_static(line));
            }
            proof(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(with(&[]), Err(ProofCountError::Missing.into()));
        assert_eq!(with(&["a.b.c", "a.b.c"]), Err(ProofCountError::Several.into()));
    }

    #[test]
    fn two_proofs_joined_by_a_comma_are_several() {
        for error in [ProofError::Malformed, ProofError::TooLong] {
            assert_eq!(refused_line("a.b.c,a.b.c", error), ProofCountError::Several.into());
            assert_eq!(refused_line("a.b.c", error), error.into());
        }
    }
}
