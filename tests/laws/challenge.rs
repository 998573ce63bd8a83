//! A reader of `WWW-Authenticate` that takes RFC 9110 section 11.6.1 to the letter and forgives nothing.

/// One challenge: its scheme and its parameters, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    pub(crate) parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// `1#challenge`, where `challenge = auth-scheme 1*SP 1#auth-param`. A challenge without parameters is refused too: RFC
/// 6750 section 3 asks for at least one.
///
/// # Errors
/// Where it broke off, as the rest of the text.
pub(crate) fn parse(line: &str) -> Result<Vec<Challenge>, String> {
    let mut rest = line;
    let mut challenges = Vec::new();
    loop {
        let challenge = challenge(&mut rest).ok_or_else(|| rest.to_owned())?;
        challenges.push(challenge);
        if rest.is_empty() {
            return Ok(challenges);
        }
        rest = rest.strip_prefix(", ").ok_or_else(|| rest.to_owned())?;
    }
}

fn challenge(rest: &mut &str) -> Option<Challenge> {
    let scheme = token(rest)?;
    *rest = rest.strip_prefix(' ')?;
    let mut parameters: Vec<(String, String)> = vec![parameter(rest)?];
    // After a comma comes either another parameter or the next challenge, which is a name without `=`.
    while let Some(mut ahead) = rest.strip_prefix(", ") {
        let Some(next) = parameter(&mut ahead) else { break };
        if parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case(&next.0)) {
            return None;
        }
        parameters.push(next);
        *rest = ahead;
    }
    Some(Challenge { scheme, parameters })
}

/// `auth-param = token "=" ( token / quoted-string )`.
fn parameter(rest: &mut &str) -> Option<(String, String)> {
    let mut ahead = *rest;
    let name = token(&mut ahead)?;
    ahead = ahead.strip_prefix('=')?;
    let value = if ahead.starts_with('"') { quoted(&mut ahead)? } else { token(&mut ahead)? };
    *rest = ahead;
    Some((name, value))
}

/// Section 5.6.2.
fn token(rest: &mut &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let (token, after) = rest.split_at(rest.find(|c| !allowed(c)).unwrap_or(rest.len()));
    *rest = after;
    (!token.is_empty()).then(|| token.to_owned())
}

/// Section 5.6.4, in ASCII.
fn quoted(rest: &mut &str) -> Option<String> {
    let mut characters = rest.strip_prefix('"')?.char_indices();
    let mut text = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                *rest = rest.get(at + 2..)?;
                return Some(text);
            }
            '\\' => text.push(characters.next().filter(|(_, c)| matches!(c, '\t' | ' '..='~'))?.1),
            '\t' | ' '..='~' => text.push(character),
            _ => return None,
        }
    }
    None
}

#[test]
fn the_reader_takes_what_is_a_challenge_and_nothing_else() {
    let two = parse(r#"DPoP realm="a, b", algs="ES256 \"x\"", Bearer error=invalid_token"#).unwrap();
    assert_eq!(two.len(), 2);
    assert_eq!(two[0].parameter("algs"), Some(r#"ES256 "x""#));
    assert_eq!((two[1].scheme.as_str(), two[1].parameter("error")), ("Bearer", Some("invalid_token")));
    for bad in [
        "",
        "DPoP",
        "Bearer, DPoP algs=\"ES256\"",
        "DPoP ",
        "DPoP realm",
        "DPoP realm=",
        "DPoP realm=\"a",
        "DPoP realm=\"a\" algs=\"b\"",
        "DPoP realm=\"a\", realm=\"b\"",
        "DPoP realm=\"a\", REALM=\"b\"",
        "DPoP realm=\"a\",",
        "DPoP realm=\"\u{e9}\"",
        "DPoP realm=\"a\"b\"",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
