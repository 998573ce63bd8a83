//! TLS to upstreams, and names of servers: what is verified, and what the gateway says where a check fails.

use super::gateway::{Gateway, Setup};
use keyproof::config::{self, UpstreamPlan};
use keyproof::upstream::{TlsFailure, UpstreamError};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto};
use std::net::SocketAddr;
use std::sync::Arc;
use support::raw::{Answer, Raw};
use support::upstream::ByHand;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(super) const NAME: &str = "orders.internal";
const GET: &str = "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, in PEM.
pub(super) fn issued(
    by: &Authority,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    (parameters.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

/// A server of HTTP/1.1 over TLS that answers each request with the name that it was asked for by TLS and the `Host`.
async fn server(pair: &(String, String), clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.1.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = acceptor.accept(socket).await else { return };
                let asked = socket.get_ref().1.server_name().unwrap_or("nobody").to_owned();
                let mut read = Vec::new();
                while socket.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                    if !read.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let head = String::from_utf8(std::mem::take(&mut read)).unwrap().to_ascii_lowercase();
                    let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
                    let body = format!("{asked} {host}");
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

/// The plan of an upstream with these keys, in a folder with these files.
pub(super) fn plan(upstream: &str, files: &[(&str, &str)]) -> UpstreamPlan {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    let text = format!(
        r#"
listeners: [{{ name: public, address: "127.0.0.1:0" }}]
public_origins: ["https://api.example.com"]
upstreams: [{{ name: orders, {upstream} }}]
routes: [{{ name: all, match: {{ path: / }}, upstream: orders, public: true }}]
"#
    );
    let file = folder.path().join("keyproof.yaml");
    std::fs::write(&file, text).unwrap();
    config::load(&file).unwrap().0.upstreams.remove(0)
}

pub(super) fn gateway(plan: UpstreamPlan) -> Gateway {
    Setup { upstream: Some(plan), ..Setup::to("127.0.0.1:1".parse().unwrap()) }.start()
}

async fn ask(gateway: &Gateway) -> Answer {
    let mut client = Raw::connect(gateway.address).await;
    client.send(GET).await;
    client.answer().await.unwrap()
}

#[tokio::test]
async fn a_server_with_an_authority_of_its_own_answers() {
    let authority = authority("an authority");
    let pair = issued(&authority, NAME, |_| ());
    let server = server(&pair, None).await;
    let files = [("ca.crt", authority.pem().as_str())].map(|(name, pem)| (name, pem.to_owned()));
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_str()));
    let tls = format!("tls: {{ ca: ca.crt, server_name: {NAME} }}");
    let public = gateway(plan(&format!("servers: [\"https://{server}\"], {tls}"), &files));
    assert_eq!(ask(&public).await.text(), format!("{NAME} api.example.com"));
    let own = gateway(plan(&format!("servers: [\"https://{server}\"], host: server, {tls}"), &files));
    assert_eq!(ask(&own).await.text(), format!("{NAME} {server}"));
}

#[tokio::test]
async fn a_name_is_looked_up_and_is_what_the_certificate_must_have() {
    let authority = authority("an authority");
    let port = server(&issued(&authority, "localhost", |_| ()), None).await.port();
    let upstream = format!("servers: [\"https://localhost:{port}\"], host: server, tls: {{ ca: ca.crt }}");
    let gateway = gateway(plan(&upstream, &[("ca.crt", &authority.pem())]));
    assert_eq!(ask(&gateway).await.text(), format!("localhost localhost:{port}"));
}

#[tokio::test]
async fn a_name_without_an_address_is_502() {
    let gateway = gateway(plan("servers: [\"http://nobody.invalid:9000\"]", &[]));
    assert_eq!(ask(&gateway).await.status, 502);
    assert_eq!(*gateway.record.errors.lock().unwrap(), [UpstreamError::Unresolved]);
}

#[tokio::test]
async fn the_check_of_the_certificate_that_failed_is_named() {
    let ours = authority("ours");
    let good = |change: fn(&mut CertificateParams)| issued(&ours, NAME, change);
    let cases = [
        ("another authority's", issued(&authority("theirs"), NAME, |_| ()), TlsFailure::UnknownIssuer),
        ("expired", good(|p| p.not_after = date_time_ymd(2020, 1, 2)), TlsFailure::Expired),
        ("early", good(|p| p.not_before = date_time_ymd(2090, 1, 2)), TlsFailure::NotValidYet),
        ("of another name", issued(&ours, "other.internal", |_| ()), TlsFailure::WrongName),
        (
            "an authority's own",
            good(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            TlsFailure::OwnAuthority,
        ),
        (
            "a client's",
            good(|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth)),
            TlsFailure::WrongPurpose,
        ),
    ];
    for (what, pair, expected) in cases {
        let server = server(&pair, None).await;
        let upstream = format!("servers: [\"https://{server}\"], tls: {{ ca: ca.crt, server_name: {NAME} }}");
        let gateway = gateway(plan(&upstream, &[("ca.crt", &ours.pem())]));
        assert_eq!(ask(&gateway).await.status, 502, "{what}");
        assert_eq!(*gateway.record.errors.lock().unwrap(), [expected.into()], "{what}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_and_what_the_system_does_not_trust_is_502() {
    // Such a server answers what it cannot read, in the clear.
    let plain = ByHand::bind().await;
    let open = gateway(plan(&format!("servers: [\"https://{}\"]", plain.address()), &[]));
    let answer = async {
        let mut connection = plain.accept().await;
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.closes().await;
    };
    assert_eq!(tokio::join!(ask(&open), answer).0.status, 502);
    assert_eq!(*open.record.errors.lock().unwrap(), [TlsFailure::NotTls.into()]);

    let unknown = server(&issued(&authority("ours"), "localhost", |_| ()), None).await.port();
    let strict = gateway(plan(&format!("servers: [\"https://localhost:{unknown}\"]"), &[]));
    assert_eq!(ask(&strict).await.status, 502);
    let errors = strict.record.errors.lock().unwrap().clone();
    // `localhost` may have an address where nobody listens, which is asked last or first.
    assert!(matches!(
        errors[..],
        [UpstreamError::Tls(TlsFailure::UnknownIssuer) | UpstreamError::Connect(_)]
    ));
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate_of_ours() {
    let ours = authority("ours");
    let server = server(&issued(&ours, NAME, |_| ()), Some(&ours)).await;
    let own = issued(&ours, "gateway.internal", |_| ());
    let stranger = issued(&authority("theirs"), "gateway.internal", |_| ());
    let gateway_with = |pair: Option<&(String, String)>| {
        let shown = pair.map_or("", |_| ", certificate: gw.crt, private_key: gw.key");
        let upstream =
            format!("servers: [\"https://{server}\"], tls: {{ ca: ca.crt, server_name: {NAME}{shown} }}");
        let (certificate, key) = pair.cloned().unwrap_or_default();
        gateway(plan(&upstream, &[("ca.crt", &ours.pem()), ("gw.crt", &certificate), ("gw.key", &key)]))
    };
    assert_eq!(ask(&gateway_with(Some(&own))).await.status, 200);
    for (pair, expected) in
        [(None, TlsFailure::CertificateRequired), (Some(&stranger), TlsFailure::CertificateRefused)]
    {
        let gateway = gateway_with(pair);
        assert_eq!(ask(&gateway).await.status, 502);
        assert_eq!(*gateway.record.errors.lock().unwrap(), [expected.into()]);
    }
}

/// Connections may be kept only where all that decides them is the same, the contents of files too.
#[tokio::test]
async fn what_decides_a_connection_can_be_compared() {
    let (one, two) = (authority("one"), authority("two"));
    let (own, other) = (issued(&one, "a", |_| ()), issued(&one, "a", |_| ()));
    let connection = |keys: &str, ca: &Authority, pair: &(String, String)| {
        let files = [("ca.crt", ca.pem()), ("gw.crt", pair.0.clone()), ("gw.key", pair.1.clone())];
        let files = files.each_ref().map(|(name, pem)| (*name, pem.as_str()));
        plan(&format!("servers: [\"https://127.0.0.1:9\"], tls: {{ {keys} }}"), &files).connection
    };
    let all = "ca: ca.crt, certificate: gw.crt, private_key: gw.key";
    let same = connection(all, &one, &own);
    assert_eq!(same, connection(all, &one, &own));
    assert_ne!(same, connection(all, &two, &own));
    assert_ne!(same, connection(all, &one, &other));
    assert_ne!(same, connection("ca: ca.crt", &one, &own));
    assert_ne!(same, connection(&format!("{all}, server_name: x"), &one, &own));
}
