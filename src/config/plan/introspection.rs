//! How an issuer is asked about tokens.

use super::issuers::endpoint;
use super::proofs::between;
use super::{TlsIdentity, files};
use crate::config::document::{AskedAbout, ClientAuthentication as Auth, Introspection};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::jose::PrivateKey;
use crate::token::IntrospectionRules;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

type Text = Spot<String>;

/// The most questions at once.
const MOST: u64 = 10_000;

/// How an issuer is asked about tokens (RFC 7662).
#[derive(Clone, Debug)]
pub struct IntrospectionPlan {
    /// Where.
    pub endpoint: Url,
    /// Who we are there.
    pub client_id: String,
    /// How we show that we are.
    pub authentication: ClientAuthentication,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many questions there may be at once.
    pub concurrency: usize,
    /// The answer must be signed (RFC 9701).
    pub signed: bool,
}

/// How the gateway shows an issuer who it is.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// `client_secret_basic`.
    SecretBasic(String),
    /// `client_secret_post`.
    SecretPost(String),
    /// `private_key_jwt`.
    PrivateKeyJwt(Arc<PrivateKey>),
    /// `tls_client_auth`.
    Tls(TlsIdentity),
}

impl ClientAuthentication {
    /// What is shown in TLS.
    pub const fn identity(&self) -> Option<&TlsIdentity> {
        match self {
            Self::Tls(identity) => Some(identity),
            Self::SecretBasic(_) | Self::SecretPost(_) | Self::PrivateKeyJwt(_) => None,
        }
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecretBasic(_) => "SecretBasic(..)",
            Self::SecretPost(_) => "SecretPost(..)",
            Self::PrivateKeyJwt(_) => "PrivateKeyJwt(..)",
            Self::Tls(_) => "Tls(..)",
        })
    }
}

/// How it is asked, and what decides about its answers.
pub(super) fn plan(
    introspection: &Introspection,
    insecure: bool,
    files: &Files<'_>,
    findings: &mut Findings,
) -> Option<(IntrospectionPlan, IntrospectionRules)> {
    between(&introspection.cache, Duration::ZERO, Duration::from_secs(3600), findings);
    between(&introspection.timeout, Duration::from_millis(10), Duration::from_secs(30), findings);
    let concurrency = &introspection.concurrency;
    if !(1..=MOST).contains(&concurrency.value) {
        let help = format!("write 1 to {MOST}");
        findings.problem(&concurrency.place, format!("{} is out of range", concurrency.value), &help);
    }
    let authentication = authentication(introspection, files, findings);
    let endpoint = introspection.endpoint.as_ref().and_then(|url| endpoint(url, insecure, findings));
    let client_id = introspection.client_id.as_ref();
    if let Some(empty) = client_id.filter(|name| name.value.trim().is_empty()) {
        findings.problem(&empty.place, "the client_id is empty", "write the gateway's name at the issuer");
    }
    let (endpoint, client_id) = (endpoint?, client_id?.value.clone());
    let rules = IntrospectionRules {
        asked: (endpoint.to_string(), client_id.clone()),
        all: introspection.about.value == AskedAbout::All,
        cache: introspection.cache.value,
    };
    let plan = IntrospectionPlan {
        endpoint,
        client_id,
        authentication: authentication?,
        timeout: introspection.timeout.value,
        concurrency: usize::try_from(concurrency.value).unwrap_or(usize::MAX),
        signed: introspection.signed.value,
    };
    Some((plan, rules))
}

/// What each way needs is there, and nothing that another needs.
fn authentication(
    introspection: &Introspection,
    files: &Files<'_>,
    findings: &mut Findings,
) -> Option<ClientAuthentication> {
    let auth = introspection.auth.value;
    let needed: &[&str] = match auth {
        Auth::SecretBasic | Auth::SecretPost => &["client_secret_file"],
        Auth::PrivateKeyJwt => &["private_key_file"],
        Auth::Tls => &["certificate", "private_key"],
    };
    let given = [
        ("client_secret_file", &introspection.client_secret_file),
        ("private_key_file", &introspection.private_key_file),
        ("certificate", &introspection.certificate),
        ("private_key", &introspection.private_key),
    ];
    for (key, text) in given {
        match text {
            Some(text) if !needed.contains(&key) => {
                let help = format!("delete it, or change auth; this way needs {}", needed.join(" and "));
                findings.problem(&text.place, format!("auth does not use {key}"), &help);
            }
            None if needed.contains(&key) => {
                let help = format!("add \"{key}: FILE\", or choose another auth");
                let place = introspection.place.absent(key);
                findings.problem(&place, format!("the key \"{key}\" is missing"), &help);
            }
            Some(_) | None => {}
        }
    }
    match auth {
        Auth::SecretBasic => secret(introspection.client_secret_file.as_ref()?, files, findings)
            .map(ClientAuthentication::SecretBasic),
        Auth::SecretPost => secret(introspection.client_secret_file.as_ref()?, files, findings)
            .map(ClientAuthentication::SecretPost),
        Auth::PrivateKeyJwt => private_key(introspection.private_key_file.as_ref()?, files, findings)
            .map(ClientAuthentication::PrivateKeyJwt),
        Auth::Tls => {
            let (certificate, key) =
                (introspection.certificate.as_ref()?, introspection.private_key.as_ref()?);
            files::identity(certificate, key, files, findings).map(ClientAuthentication::Tls)
        }
    }
}

/// The first line of the file.
fn secret(name: &Text, files: &Files<'_>, findings: &mut Findings) -> Option<String> {
    let (_, contents) = files::read(name, files, findings)?;
    let line = std::str::from_utf8(&contents).ok().and_then(|text| text.lines().next()).map(str::trim);
    let line = line.filter(|line| !line.is_empty());
    if line.is_none() {
        let help = "write the secret that the issuer knows the gateway by as the file's first line";
        findings.problem(&name.place, format!("the first line of {} is no secret", name.path()), help);
    }
    line.map(str::to_owned)
}

fn private_key(name: &Text, files: &Files<'_>, findings: &mut Findings) -> Option<Arc<PrivateKey>> {
    let (_, contents) = files::read(name, files, findings)?;
    let key = std::str::from_utf8(&contents).ok().and_then(|text| PrivateKey::read(text).ok());
    if key.is_none() {
        let help = "name a PEM or JWK file with an ECDSA P-256, Ed25519 or RSA (2048 bits or more) key";
        findings.problem(&name.place, format!("{} holds no private key that signs", name.path()), help);
    }
    key.map(Arc::new)
}
