//! The seal: it binds the token of an issuer that knows no DPoP to the key of the client that asked for it.
//!
//! A sealed token is `kp1.` and the base64url of 32 random bytes and an AEAD over the issuer's token and the thumbprint of the key. Nothing is
//! stored: every replica with the same secret opens it. Each has a key of its own, made by HKDF-SHA-256 of a line of the secret file and the
//! random bytes, with version, kind and the entry's name as context ([`SealingSecret`]). The first line seals, every line opens.
//!
//! [`Seal::seal_answer`] does so with what an issuer answers to a token request, [`Form::open`] opens what a client sends in one.
//!
//! # What an attacker gets
//!
//! * **A stolen sealed token**: nothing. It is opened for a proof of the key that is sealed with it; what is inside cannot be read or changed,
//!   so it is of no use to the issuer or to an API that takes the issuer's own tokens either.
//! * **A stolen secret**: whoever has it can open every sealed token, and seal any token that they have for a key of their own. It makes no
//!   tokens: the one inside is still the issuer's. To end it, put a new first line and take the old one away; what it sealed is then lost.
//! * **A stolen inner token** (from the issuer, its log, or an upstream that is handed it): it is a bearer token, and routes that take none
//!   refuse it. It cannot be sealed by asking: a token endpoint seals only what the issuer answers. An upstream that can be reached
//!   past the gateway takes it, as it did before.
//! * **A replayed token request**: the proof in it was used, and is refused as on routes.
//! * **A copied refresh token**: it opens for its key alone ([`Kind::Refresh`]). One that is sealed without a key ([`Kind::RefreshWithoutKey`]) was
//!   given to a client that authenticates itself, and the issuer asks for that again (RFC 9449 section 5).
//! * **A proof for another endpoint**: its `htu` is another, so it is refused before anything is opened. A token of one kind or one entry never
//!   opens as another: both are part of its key.
//!
//! # Failures
//!
//! Whatever is wrong with a text, [`Seal::open_access`] and [`Seal::open_refresh`] give the one [`CannotOpen`], and only after every line was tried on
//! as many bytes as the text stands for. Neither the answer nor its time tells a changed token from an unknown one, or which line it is of.

mod answer;
mod form;
mod secrets;
#[cfg(test)]
mod tests;

pub use answer::{AnswerError, Answered, MAX_ANSWER};
pub use form::{Form, FormError, MAX_FORM, Unsealed};
pub use secrets::{BadLine, MIN_SECRET, read_secrets};

use crate::headers::is_token68;
use crate::jose::{SealingSecret, Thumbprint, decode, encode};

/// What every sealed token begins with: the version of the seal.
pub const PREFIX: &str = "kp1.";
/// The longest sealed token, as it is presented.
pub const MAX_SEALED: usize = 16 * 1024;
/// What the version is called in the context of a key.
const VERSION: &[u8] = b"kp1";
/// How many bytes a thumbprint is.
const KEY: usize = 32;

/// What a sealed token is for; no kind opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An access token, for one key.
    Access,
    /// A refresh token, for one key.
    Refresh,
    /// A refresh token of a client that authenticates itself, which is what binds it (RFC 9449 section 5).
    RefreshWithoutKey,
}

impl Kind {
    /// Its part in the context of a key; never another one, or nothing that was sealed opens any more.
    const fn context(self) -> &'static [u8] {
        match self {
            Self::Access => b"access",
            Self::Refresh => b"refresh",
            Self::RefreshWithoutKey => b"refresh without key",
        }
    }
}

/// An issuer's token that was sealed. It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Inner(String);

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner(…)")
    }
}

impl Inner {
    /// The token itself: for who verifies it, the issuer it is of, and, once everything else has passed, the upstream. For no log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// An access token that was opened: nothing is verified yet but that we sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The issuer's token.
    pub inner: Inner,
    /// The key that has to be proved: it takes the place of `cnf.jkt`.
    pub jkt: Thumbprint,
}

/// It is no sealed token of this kind, entry, secret and key. There is no more to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed token cannot be opened")]
pub struct CannotOpen;

/// A token that is not sealed: it is empty, has characters that no such token has, is sealed already, or would be longer than
/// [`MAX_SEALED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token does not fit into a seal")]
pub struct DoesNotFit;

/// Whether this is meant to be a sealed token.
pub fn is_sealed(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Seals and opens for one entry of `token_endpoints`.
#[derive(Clone, Debug)]
pub struct Seal {
    entry: String,
    first: SealingSecret,
    others: Vec<SealingSecret>,
}

impl Seal {
    /// The seal of the entry with this name: `first` seals, it and `others` open.
    pub fn new(entry: &str, first: SealingSecret, others: Vec<SealingSecret>) -> Self {
        Self { entry: entry.to_owned(), first, others }
    }

    /// Seals an access token for the key that asked for it.
    ///
    /// # Errors
    /// [`DoesNotFit`], also for what could not be a Bearer token (RFC 6750 section 2.1): nobody could use it.
    pub fn seal_access(&self, token: &str, jkt: &Thumbprint) -> Result<String, DoesNotFit> {
        if is_token68(token) { self.seal(Kind::Access, Some(jkt), token) } else { Err(DoesNotFit) }
    }

    /// Seals a refresh token: for this key, or for none where the client authenticates itself.
    ///
    /// # Errors
    /// [`DoesNotFit`], also for what is no refresh token (RFC 6749 appendix A.17).
    pub fn seal_refresh(&self, token: &str, jkt: Option<&Thumbprint>) -> Result<String, DoesNotFit> {
        let kind = if jkt.is_some() { Kind::Refresh } else { Kind::RefreshWithoutKey };
        let visible = !token.is_empty() && token.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if visible { self.seal(kind, jkt, token) } else { Err(DoesNotFit) }
    }

    /// Opens an access token that was presented, whoever presents it.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open_access(&self, text: &str) -> Result<Opened, CannotOpen> {
        let bytes = Bytes::of(text);
        let opened = self.open(Kind::Access, &bytes);
        let (jkt, inner) = split(&opened.ok_or(CannotOpen)?).ok_or(CannotOpen)?;
        Ok(Opened { inner, jkt })
    }

    /// Opens a refresh token that comes with a proof of this key.
    ///
    /// # Errors
    /// [`CannotOpen`], also where it was sealed for another key.
    pub fn open_refresh(&self, text: &str, jkt: &Thumbprint) -> Result<Inner, CannotOpen> {
        let bytes = Bytes::of(text);
        // Both are tried, whatever the first gives.
        let (bound, free) = (self.open(Kind::Refresh, &bytes), self.open(Kind::RefreshWithoutKey, &bytes));
        let bound =
            bound.and_then(|plain| split(&plain)).filter(|(key, _)| key == jkt).map(|(_, inner)| inner);
        bound.or_else(|| free.and_then(|plain| text_of(&plain))).ok_or(CannotOpen)
    }

    fn seal(&self, kind: Kind, jkt: Option<&Thumbprint>, token: &str) -> Result<String, DoesNotFit> {
        let key = jkt.map(|jkt| &jkt.as_bytes()[..]).unwrap_or_default();
        let plain = [key, token.as_bytes()].concat();
        let sealed = (plain.len() <= MAX_SEALED && !is_sealed(token))
            .then(|| self.first.seal(&self.context(kind), &plain))
            .ok_or(DoesNotFit)?;
        let text = format!("{PREFIX}{}", encode(&sealed));
        if text.len() <= MAX_SEALED { Ok(text) } else { Err(DoesNotFit) }
    }

    /// Tries every line, whichever opens it, and whether or not there was anything to open.
    fn open(&self, kind: Kind, bytes: &Bytes) -> Option<Vec<u8>> {
        let context = self.context(kind);
        let lines = std::iter::once(&self.first).chain(&self.others);
        let opened = lines.fold(None, |found, line| {
            let opened = line.open(&context, &bytes.sealed);
            found.or(opened)
        });
        opened.filter(|_| bytes.well_formed)
    }

    fn context(&self, kind: Kind) -> [&[u8]; 3] {
        [VERSION, kind.context(), self.entry.as_bytes()]
    }
}

/// The seals of every entry, each with what the caller knows it by: a sealed token does not say which it is of.
#[derive(Clone, Debug)]
pub struct Seals<T>(Vec<(T, Seal)>);

impl<T> FromIterator<(T, Seal)> for Seals<T> {
    fn from_iter<I: IntoIterator<Item = (T, Seal)>>(seals: I) -> Self {
        Self(seals.into_iter().collect())
    }
}

impl<T> Seals<T> {
    /// Opens an access token with the seal that it is of, and says which that is. All are tried, whichever opens it.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open_access(&self, text: &str) -> Result<(&T, Opened), CannotOpen> {
        let found = self.0.iter().fold(None, |found, (entry, seal)| {
            let opened = seal.open_access(text);
            found.or(opened.ok().map(|opened| (entry, opened)))
        });
        found.ok_or(CannotOpen)
    }
}

/// What a text stands for, or as many bytes of nothing.
struct Bytes {
    sealed: Vec<u8>,
    well_formed: bool,
}

impl Bytes {
    fn of(text: &str) -> Self {
        let body = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_SEALED);
        let sealed = body.and_then(decode).filter(|bytes| bytes.len() >= SealingSecret::OVERHEAD);
        match sealed {
            Some(sealed) => Self { sealed, well_formed: true },
            None => {
                let length = text.len().min(MAX_SEALED).saturating_sub(PREFIX.len()) / 4 * 3;
                Self { sealed: vec![0; length.max(SealingSecret::OVERHEAD)], well_formed: false }
            }
        }
    }
}

/// The key and the token that were sealed together.
fn split(plain: &[u8]) -> Option<(Thumbprint, Inner)> {
    let (key, token) = plain.split_first_chunk::<KEY>()?;
    Some((Thumbprint::new(*key), text_of(token)?))
}

/// A token that was sealed. That it is itself sealed cannot be, and would be refused.
fn text_of(token: &[u8]) -> Option<Inner> {
    let token = std::str::from_utf8(token).ok()?;
    (!is_sealed(token)).then(|| Inner(token.to_owned()))
}
