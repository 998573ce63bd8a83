//! Who clients are: certificates, keys, and authorities.

use keyproof::certificate::CertificateThumbprint;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use std::sync::Arc;

/// A certification authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, and a key that may be its own.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) der: CertificateDer<'static>,
    /// What else it shows.
    others: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// So many with long names, in PEM.
    pub(crate) fn many(count: usize) -> String {
        let key = KeyPair::generate().unwrap();
        let one = |number: usize| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, format!("{number:064}"));
            params.distinguished_name.push(rcgen::DnType::OrganizationName, format!("{number:064}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.self_signed(&key).unwrap().pem()
        };
        (0..count).map(one).collect()
    }

    /// A client that it vouches for.
    pub(crate) fn client(&self) -> Identity {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A server that it vouches for, which no client may be.
    pub(crate) fn server(&self) -> Identity {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client.test".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { der: certificate.der().clone(), others: Vec::new(), key: key.serialize_der() }
    }
}

impl Identity {
    /// One that nobody vouches for.
    pub(crate) fn self_signed() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["client.test".to_owned()]).unwrap();
        Self { der: made.cert.der().clone(), others: Vec::new(), key: made.signing_key.serialize_der() }
    }

    /// Its certificate in the hands of somebody who has another key.
    pub(crate) fn stolen(&self) -> Self {
        Self { key: Self::self_signed().key, ..self.clone() }
    }

    /// The same with so many certificates after its own.
    pub(crate) fn with_others(&self, count: usize) -> Self {
        Self { others: vec![Self::self_signed().der; count], ..self.clone() }
    }

    /// Its certificate and its key, as files have them.
    pub(crate) fn pem(&self) -> (String, String) {
        let block = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", crate::base64::encode(der))
        };
        (block("CERTIFICATE", &self.der), block("PRIVATE KEY", &self.key))
    }

    /// `cnf` of a token that is bound to it.
    pub(crate) fn cnf(&self) -> Value {
        json!({ "x5t#S256": self.thumbprint() })
    }

    pub(crate) fn thumbprint(&self) -> String {
        CertificateThumbprint::of(&self.der).to_string()
    }

    /// What TLS needs of it. Nothing looks at whether the key fits.
    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        let key = PrivatePkcs8KeyDer::from(self.key.clone()).into();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let chain = [std::slice::from_ref(&self.der), &self.others].concat();
        Arc::new(CertifiedKey::new(chain, key))
    }
}
