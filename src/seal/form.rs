//! The form of a token request (RFC 6749 appendix B), and the sealed tokens in it.

use super::{CannotOpen, Seal, is_sealed};
use crate::jose::Thumbprint;
use std::borrow::Cow;

/// The longest form that is read.
pub const MAX_FORM: usize = 64 * 1024;

/// A form as it was written, and what its members are called.
///
/// Members that nobody has to open reach the issuer byte for byte; empty ones (`a=1&&b=2`) do not.
#[derive(Clone)]
pub struct Form<'a> {
    members: Vec<Member<'a>>,
}

/// One `name=value`.
#[derive(Clone)]
struct Member<'a> {
    written: Cow<'a, str>,
    name: String,
    value: String,
}

/// What becomes of a refresh token that is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// It is from before the gateway, and passes.
    Accept,
    /// It is refused.
    Refuse,
}

/// Why a request is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No form, too long, or one that two readers may read differently: `invalid_request`.
    #[error("the request is no form, or has a parameter twice")]
    Malformed,
    /// A sealed token came without a proof: `invalid_dpop_proof`.
    #[error("a sealed token needs a proof of its key")]
    ProofMissing,
    /// A sealed token that does not open for this key, or a refresh token that is not sealed where it has to be: `invalid_grant`.
    #[error("the token in the request is not one for this key")]
    Grant,
}

impl From<CannotOpen> for FormError {
    fn from(_: CannotOpen) -> Self {
        Self::Grant
    }
}

impl<'a> Form<'a> {
    /// Reads a form.
    ///
    /// # Errors
    /// [`FormError::Malformed`]; a parameter must not be there twice (RFC 6749 section 3.2), except those that say more than one thing
    /// (`resource` of RFC 8707, `audience` of RFC 8693).
    pub fn parse(body: &'a [u8]) -> Result<Self, FormError> {
        let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_FORM);
        let written = text.ok_or(FormError::Malformed)?.split('&').filter(|member| !member.is_empty());
        let members = written.map(|written| {
            let (name, value) = written.split_once('=').unwrap_or((written, ""));
            Some(Member { written: Cow::Borrowed(written), name: decoded(name)?, value: decoded(value)? })
        });
        let members: Vec<_> = members.collect::<Option<_>>().ok_or(FormError::Malformed)?;
        let mut names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        names.retain(|name| !["resource", "audience"].contains(name));
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| matches!(pair, [one, next] if one == next));
        if twice { Err(FormError::Malformed) } else { Ok(Self { members }) }
    }

    /// Whether the client authenticates itself in it (RFC 6749 section 2.3.1, RFC 7521 section 4.2). An empty one is none.
    pub fn authenticates_client(&self) -> bool {
        let named =
            |member: &Member<'_>| ["client_secret", "client_assertion"].contains(&member.name.as_str());
        self.members.iter().any(|member| named(member) && !member.value.is_empty())
    }

    /// The form with every sealed token in it opened for the key that was proved.
    ///
    /// # Errors
    /// [`FormError::ProofMissing`] and [`FormError::Grant`].
    pub fn open(
        mut self,
        seal: &Seal,
        jkt: Option<&Thumbprint>,
        unsealed: Unsealed,
    ) -> Result<Self, FormError> {
        for member in &mut self.members {
            let refresh = member.name == "refresh_token";
            if !refresh && !["subject_token", "actor_token"].contains(&member.name.as_str()) {
                continue;
            }
            if !is_sealed(&member.value) {
                if refresh && unsealed == Unsealed::Refuse {
                    return Err(FormError::Grant);
                }
                continue;
            }
            let jkt = jkt.ok_or(FormError::ProofMissing)?;
            let inner = if refresh {
                seal.open_refresh(&member.value, jkt)?
            } else {
                let opened = seal.open_access(&member.value)?;
                if opened.jkt == *jkt { opened.inner } else { return Err(FormError::Grant) }
            };
            member.written = Cow::Owned(format!("{}={}", member.name, encoded(inner.expose())));
            member.value.clear();
        }
        Ok(self)
    }

    /// The form as the issuer gets it.
    pub fn written(&self) -> String {
        self.members.iter().map(|member| &*member.written).collect::<Vec<_>>().join("&")
    }
}

/// A name or a value without its encoding; `None`: it is broken, so that who reads it next may find something else in it.
fn decoded(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let digits = std::str::from_utf8(digits)
                    .ok()
                    .filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
                u8::from_str_radix(digits?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A value in the encoding of a form: everything but what needs none.
fn encoded(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::SealingSecret;

    fn seal() -> Seal {
        Seal::new("legacy", SealingSecret::new(&[7; 32]), Vec::new())
    }

    fn key(byte: u8) -> Thumbprint {
        Thumbprint::new([byte; 32])
    }

    fn open(form: &str, jkt: Option<u8>, unsealed: Unsealed) -> Result<String, FormError> {
        let jkt = jkt.map(key);
        Form::parse(form.as_bytes())?.open(&seal(), jkt.as_ref(), unsealed).map(|form| form.written())
    }

    #[test]
    fn what_is_not_sealed_passes_byte_for_byte() {
        for form in [
            "",
            "grant_type=authorization_code&code=a%2Fb+c&code_verifier=x~y&redirect_uri=https%3a%2f%2Fapp",
            "resource=https://a&resource=https://b&audience=a&audience=b&empty=&alone",
            "access_token=kp1.anything&code=kp1.anything",
            "grant_type=refresh_token&refresh_token=old%2Bone",
            "subject_token=inner&actor_token=other",
        ] {
            assert_eq!(open(form, Some(5), Unsealed::Accept).as_deref(), Ok(form));
            assert_eq!(open(form, None, Unsealed::Accept).as_deref(), Ok(form));
        }
    }

    #[test]
    fn sealed_tokens_are_opened_for_their_key_alone() {
        let refresh = seal().seal_refresh("a+/ =", Some(&key(5))).unwrap();
        let free = seal().seal_refresh("inner", None).unwrap();
        let access = seal().seal_access("in+/ner==", &key(5)).unwrap();
        let opens = [
            (format!("a=1&refresh_token={refresh}&b=%20"), "a=1&refresh_token=a%2B%2F%20%3D&b=%20", false),
            (format!("refresh%5Ftoken=kp1%2e{}", &refresh[4..]), "refresh_token=a%2B%2F%20%3D", false),
            (format!("refresh_token={free}"), "refresh_token=inner", true),
            (format!("subject_token={access}"), "subject_token=in%2B%2Fner%3D%3D", false),
            (format!("actor_token={access}"), "actor_token=in%2B%2Fner%3D%3D", false),
        ];
        for (form, opened, any_key) in opens {
            for unsealed in [Unsealed::Accept, Unsealed::Refuse] {
                assert_eq!(open(&form, Some(5), unsealed).as_deref(), Ok(opened));
                let other = open(&form, Some(6), unsealed);
                assert_eq!(other.as_deref(), if any_key { Ok(opened) } else { Err(&FormError::Grant) });
                assert_eq!(open(&form, None, unsealed), Err(FormError::ProofMissing));
            }
        }
        for form in [
            format!("refresh_token={access}"),
            format!("subject_token={refresh}"),
            format!("subject_token={free}"),
            "refresh_token=kp1.".to_owned(),
            format!("actor_token={access}A"),
        ] {
            assert_eq!(open(&form, Some(5), Unsealed::Accept), Err(FormError::Grant), "{form}");
        }
    }

    #[test]
    fn a_refresh_token_from_before_can_be_refused() {
        for jkt in [None, Some(5)] {
            assert_eq!(open("refresh_token=old", jkt, Unsealed::Refuse), Err(FormError::Grant));
            assert_eq!(open("subject_token=old", jkt, Unsealed::Refuse).as_deref(), Ok("subject_token=old"));
        }
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        let long = "a".repeat(MAX_FORM + 1);
        for form in [
            "refresh_token=a&refresh_token=b",
            "refresh_token=a&refresh%5ftoken=b",
            "client_secret=a&client_secret=",
            "a=%",
            "a=%4",
            "a=%+4",
            "a=%zz",
            "%=a",
            "a=%ff",
            &long,
        ] {
            assert_eq!(open(form, Some(5), Unsealed::Accept), Err(FormError::Malformed), "{}", form.len());
        }
        assert!(Form::parse(b"a=\xff").is_err());
    }

    #[test]
    fn a_client_authenticates_itself_by_secret_or_assertion() {
        let asks = |form: &str| Form::parse(form.as_bytes()).unwrap().authenticates_client();
        for form in ["client_secret=a", "client%5Fsecret=a", "a=b&client_assertion=c"] {
            assert!(asks(form), "{form}");
        }
        for form in
            ["", "client_id=a", "client_secret=", "client_secret", "client_assertion=&client_secrets=a"]
        {
            assert!(!asks(form), "{form}");
        }
    }
}
