//! What claims are called: the names that RFC 9068 gives them, and those of issuers that give them others.

use super::claims::member_at;
use super::{IssuerId, TokenError};
use crate::jose::json::{Object, Value};
use std::borrow::Cow;

/// A claim that is missing or of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// `iss`
    Iss,
    /// `exp`
    Exp,
    /// `aud`
    Aud,
    /// `sub`
    Sub,
    /// `client_id`, wherever the issuer puts it.
    ClientId,
    /// `iat`
    Iat,
    /// `jti`
    Jti,
    /// `nbf`
    Nbf,
    /// `scope`, wherever the issuer puts it.
    Scope,
    /// The one in this place of the issuer's `required_claims`.
    Listed(IssuerId, u16),
}

impl Claim {
    /// Its name; that of a listed one is known to [`super::Issuers::claim_name`].
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Iss => "iss",
            Self::Exp => "exp",
            Self::Aud => "aud",
            Self::Sub => "sub",
            Self::ClientId => "client_id",
            Self::Iat => "iat",
            Self::Jti => "jti",
            Self::Nbf => "nbf",
            Self::Scope => "scope",
            Self::Listed(..) => "required_claims",
        }
    }
}

/// Where an issuer puts what RFC 9068 section 2.2 calls `client_id` and `scope`: names or paths, of which the first that is there counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// Okta says `cid`, Entra `azp`.
    pub client_id: Vec<String>,
    /// A text with spaces (RFC 6749 section 3.3) or a list of texts; Okta and Entra say `scp`.
    pub scope: Vec<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { client_id: vec!["client_id".to_owned()], scope: vec!["scope".to_owned()] }
    }
}

impl ClaimNames {
    /// The client, if the token names one.
    pub(super) fn client_id<'c>(&self, claims: &'c Object<'_>) -> Result<Option<&'c str>, TokenError> {
        let Some(value) = first(&self.client_id, claims) else { return Ok(None) };
        value.as_str().map(Some).ok_or(TokenError::ClaimType(Claim::ClientId))
    }

    /// The scope as a text with spaces, if the token has one.
    pub(super) fn scope<'c>(&self, claims: &'c Object<'_>) -> Result<Option<Cow<'c, str>>, TokenError> {
        let Some(value) = first(&self.scope, claims) else { return Ok(None) };
        let wrong_type = TokenError::ClaimType(Claim::Scope);
        if let Some(text) = value.as_str() {
            return Ok(Some(Cow::Borrowed(text)));
        }
        let items = value.as_array().ok_or(wrong_type)?;
        let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        Ok(Some(Cow::Owned(words.ok_or(wrong_type)?.join(" "))))
    }

    /// The claims of a token with `client_id` and `scope` where RFC 9068 has them, so that everybody else needs to know no other names. What
    /// stood there and was not found by these names is gone: it means nothing for this issuer.
    pub(super) fn settle(&self, mut claims: Object<'static>) -> Object<'static> {
        if self.client_id != ["client_id"] {
            let client_id = self.client_id(&claims).ok().flatten().map(str::to_owned);
            claims.set("client_id", client_id.map_or(Value::Null, |text| Value::String(Cow::Owned(text))));
        }
        let is_list = claims.get("scope").is_some_and(|scope| scope.as_array().is_some());
        if is_list || self.scope != ["scope"] {
            let scope = self.scope(&claims).ok().flatten().map(Cow::into_owned);
            claims.set("scope", scope.map_or(Value::Null, |text| Value::String(Cow::Owned(text))));
        }
        claims
    }
}

fn first<'c, 'v>(names: &[String], claims: &'c Object<'v>) -> Option<&'c Value<'v>> {
    names.iter().find_map(|name| member_at(claims, name))
}
