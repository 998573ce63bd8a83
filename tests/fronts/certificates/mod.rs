//! Real fronts that end TLS and name their client's certificate, as `docs/certificates.md` has them do it.

use super::front::Front;
use super::kinds::{self, Kind};
use keyproof::certificate::CertificateThumbprint;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use support::gateway::{HOST, House, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [mtls] }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }"#;
const DECISIONS: &str = "mode: forward_auth, trusted_proxies: [127.0.0.1/32]";
const PUBLIC: &str = "name: public, address: \"127.0.0.1:0\"";

/// A front, and where it says it.
pub(crate) struct Names {
    kind: &'static Kind,
    /// Its file in `certificates/`; or in `deploy/front`, where it asks as that has it.
    file: &'static str,
    /// What the listener says; `None`: it asks over gRPC.
    field: Option<&'static str>,
    asks: bool,
}

pub(crate) const NGINX: Names = Names {
    kind: &kinds::NGINX,
    file: "nginx.conf",
    field: Some("{ header: X-SSL-Client-Cert, format: pem_urlencoded }"),
    asks: false,
};
/// With what is commented out in the shipped file.
pub(crate) const NGINX_ASKS: Names = Names { asks: true, ..NGINX };
pub(crate) const HAPROXY: Names = Names {
    kind: &kinds::HAPROXY,
    file: "haproxy.cfg",
    field: Some("{ header: Client-Cert, format: rfc9440 }"),
    asks: false,
};
pub(crate) const CADDY: Names = Names { kind: &kinds::CADDY, file: "Caddyfile", ..HAPROXY };
pub(crate) const CADDY_NEW: Names = Names { kind: &kinds::CADDY_NEW, ..CADDY };
pub(crate) const ENVOY: Names = Names {
    kind: &kinds::ENVOY,
    file: "envoy.yaml",
    field: Some("{ header: X-Forwarded-Client-Cert, format: xfcc }"),
    asks: false,
};
pub(crate) const ENVOY_GRPC: Names =
    Names { kind: &kinds::ENVOY_GRPC, file: "envoy-grpc.yaml", field: None, asks: false };

/// Whoever has the certificate passes, whoever has not does not, and what a client writes itself says nothing.
pub(crate) async fn are_believed(front: &'static Names) {
    let house = House::with_doors(ROUTES, "").await;
    if let Some(field) = front.field {
        let (listener, trust) = if front.asks {
            (DECISIONS, DECISIONS.to_owned())
        } else {
            (PUBLIC, format!("{PUBLIC}, trusted_proxies: [127.0.0.1/32]"))
        };
        house.reload_with(listener, &format!("{trust}, client_certificate: {field}")).await;
    }
    let [alice, mallory] = clients(house.folder());
    let address = free_address();
    let forwards = front.field.is_some() && !front.asks;
    let behind = if forwards { house.gateway } else { (front.kind.asks)(&house) };
    let edit = |name: &str, text: String| {
        if name != front.file {
            return text;
        }
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fronts/certificates").join(name);
        let text = if front.asks { with_certificates(&text) } else { std::fs::read_to_string(own).unwrap() };
        text.replace("8443", &address.port().to_string())
            .replace("FOLDER", &house.folder().display().to_string())
    };
    let Some(running) = Front::start_edited(front.kind, &house, behind, edit).await else { return };
    let thumbprint = CertificateThumbprint::of(&alice.0).to_string();
    let token = format!("Bearer {}", house.token(json!({ "cnf": { "x5t#S256": thumbprint } })));
    let pem = std::fs::read_to_string(house.folder().join("alice.crt")).unwrap();
    let escaped: String = pem.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let forged = [
        (
            "client-cert",
            format!(":{}:", pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()),
        ),
        ("x-ssl-client-cert", escaped.clone()),
        ("x_ssl_client_cert", escaped.clone()),
        ("x-forwarded-client-cert", format!("Cert=\"{escaped}\"")),
    ];
    let forged: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for lies in [&[][..], &forged] {
        let request =
            get("/orders", &[&[("authorization", token.as_str()), ("connection", "close")], lies].concat());
        for (identity, status) in [(Some(&alice), 200), (Some(&mallory), 401), (None, 401)] {
            let answered = ask(&house, address, identity, &request).await;
            assert_eq!(answered, status, "{}, {lies:?}:\n{}", front.kind.name, running.said());
        }
    }
    if forwards {
        let seen = house.upstream.seen();
        let named = seen.iter().flat_map(|seen| &seen.headers).find(|(name, _)| name.contains("cert"));
        assert_eq!(named, None, "what fronts say of certificates ends here");
    }
}

/// What ends TLS in nginx's shipped file, and the line that it has for that.
fn with_certificates(shipped: &str) -> String {
    let tls = "listen 127.0.0.1:8443 ssl; ssl_certificate FOLDER/tls.crt; ssl_certificate_key FOLDER/tls.key; \
        ssl_client_certificate FOLDER/clients.crt; ssl_verify_client optional; listen 127.0.0.1:8080;";
    let line = "proxy_set_header X-SSL-Client-Cert";
    assert!(shipped.contains(&format!("# {line}")), "the line is there");
    shipped.replacen("listen 127.0.0.1:8080;", tls, 1).replacen(&format!("# {line}"), line, 1)
}

type Client = (CertificateDer<'static>, Vec<u8>);

/// Two clients of one authority; what the front needs is in this folder.
fn clients(folder: &Path) -> [Client; 2] {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "clients");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("clients.crt"), authority.pem()).unwrap();
    let both = ["tls.crt", "tls.key"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    std::fs::write(folder.join("both.pem"), both.concat()).unwrap();
    ["alice", "mallory"].map(|name| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![format!("{name}.test")]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, format!("{name}, \"the\" client; Cert=\"x\""));
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        (certificate.der().clone(), key.serialize_der())
    })
}

/// The status of the answer to a client that shows this certificate.
async fn ask(house: &House, address: SocketAddr, identity: Option<&Client>, request: &str) -> u16 {
    let mut roots = RootCertStore::empty();
    roots.add(house.certificate.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    let socket = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut socket = connector.connect(ServerName::try_from(HOST).unwrap(), socket).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Some end without saying so in TLS.
    socket.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer[9..12]).parse().unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
