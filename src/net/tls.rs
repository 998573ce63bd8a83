//! TLS as a client speaks it, by rustls on ring.

use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, crypto};
use std::sync::Arc;

/// Whom the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace that).
pub fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(
            "no certificate authorities found on this system: no server can be trusted over https"
        );
    }
    roots
}

/// These authorities alone. Those that cannot be read as one are left out: whoever planned them has looked.
pub fn roots(authorities: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    roots
}

/// A client of TLS 1.3 and 1.2 that trusts these; whether it has a certificate of its own is still to be said.
pub fn client(roots: impl Into<Arc<RootCertStore>>) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "ring has cipher suites for every version that rustls enables")]
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions of TLS");
    versions.with_root_certificates(roots)
}
