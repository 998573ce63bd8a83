//! Certificates that a front names in a header.

use crate::base64::encode as base64;
use crate::client::Client;
use crate::handshake::house;
use crate::identity::{Authority, Identity};
use keyproof::jose::sha256;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use support::gateway::{House, get, request};

const ROUTES: &str = r#"
  - { name: orders, match: { path: /orders }, upstream: legacy, accept: [mtls] }
  - { name: public, match: { path: /public }, upstream: legacy, public: true }"#;

const PUBLIC: &str = "name: public, address: \"127.0.0.1:0\"";

/// A gateway behind a front that it believes, which is whoever asks from here.
async fn behind_a_front(field: &str) -> House {
    let house = House::with_routes(ROUTES).await;
    let trusting = format!("{PUBLIC}, trusted_proxies: [127.0.0.1/32], client_certificate: {field}");
    house.reload_with(PUBLIC, &trusting).await;
    house
}

/// A byte sequence of structured fields (RFC 9440 section 2.1).
pub(crate) fn rfc9440(der: &CertificateDer<'_>) -> String {
    format!(":{}:", base64(der))
}

/// PEM, percent-encoded as nginx does it.
pub(crate) fn escaped(der: &CertificateDer<'_>) -> String {
    let encoded = base64(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    pem.bytes().map(escape).collect()
}

/// As AWS writes it: `+`, `/` and `=` stay.
fn escaped_by_aws(der: &CertificateDer<'_>) -> String {
    escaped(der).replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
}

fn xfcc(der: &CertificateDer<'_>) -> String {
    let hash: String = sha256(&[der]).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("Hash={hash};Cert=\"{}\";Subject=\"CN=\\\"a, b; Cert=c\\\"\";URI=", escaped(der))
}

/// What stands in the lines of the header, and what becomes of the request.
type Case = (Vec<String>, &'static str);

/// What a listener says of its header, and what is read of it where a token is bound to the certificate `a`.
fn cases(a: &CertificateDer<'_>, m: &CertificateDer<'_>) -> [(&'static str, Vec<Case>); 3] {
    let missing = "certificate_missing";
    [
        (
            "{ }",
            vec![
                (vec![rfc9440(a)], "verified"),
                (vec![rfc9440(m)], "certificate_mismatch"),
                (vec![], missing),
                (vec![String::new()], missing),
                (vec!["::".to_owned()], missing),
                (vec![rfc9440(a), rfc9440(a)], missing),
                (vec![rfc9440(a), String::new()], missing),
                (vec![format!("{}, {}", rfc9440(a), rfc9440(a))], missing),
                (vec![base64(a)], missing),
                (vec![escaped(a)], missing),
                (vec![rfc9440(a).replace(":M", ":-M")], missing),
            ],
        ),
        (
            "{ header: X-Forwarded-Client-Cert, format: xfcc }",
            vec![
                (vec![xfcc(a)], "verified"),
                (vec![format!("By=spiffe://a/b;{}", xfcc(a))], "verified"),
                (vec![format!("cert={}", escaped(a))], "verified"),
                (vec![xfcc(m)], "certificate_mismatch"),
                (vec![format!("{},{}", xfcc(m), xfcc(a))], missing),
                (vec![format!("{},{}", xfcc(a), xfcc(a))], missing),
                (vec![xfcc(a), xfcc(a)], missing),
                (vec![format!("{};Cert=\"{}\"", xfcc(a), escaped(a))], missing),
                // A name in a certificate that goes on as further keys.
                (vec![format!("Hash={};URI=a;Cert=\"{}\"", "00".repeat(32), escaped(a))], missing),
                (vec!["Hash=00;Subject=\"\"".to_owned()], missing),
                (vec!["Hash=".to_owned()], missing),
                (vec![format!("{};", xfcc(a))], missing),
                (vec![format!("Cert=\"{}", escaped(a))], missing),
                (vec![escaped(a)], missing),
            ],
        ),
        (
            "{ header: X-SSL-Client-Cert, format: pem_urlencoded }",
            vec![
                (vec![escaped(a)], "verified"),
                (vec![escaped_by_aws(a)], "verified"),
                (vec![escaped(a).replace("%0A", "%20")], "verified"),
                (
                    vec![format!(
                        "-----BEGIN%20CERTIFICATE-----%0A{}%0A-----END%20CERTIFICATE-----%0A",
                        base64(a)
                    )],
                    "verified",
                ),
                (vec![escaped(m)], "certificate_mismatch"),
                (vec![escaped(a).replace("%20", "+")], missing),
                (vec![escaped(a) + &escaped(a)], missing),
                (vec![escaped(a) + &escaped(m)], missing),
                (vec![escaped(a), escaped(a)], missing),
                (vec![format!("{},{}", escaped(a), escaped(a))], missing),
                (vec![escaped(a).replace("CERTIFICATE", "X509")], missing),
                (vec![escaped(a).replacen("%0A", "%0", 1)], missing),
                (vec!["(null)".to_owned()], missing),
                (vec![rfc9440(a)], missing),
            ],
        ),
    ]
}

#[tokio::test]
async fn each_format_names_one_certificate_or_none() {
    let (alice, mallory) = (Identity::self_signed(), Identity::self_signed());
    for (field, cases) in cases(&alice.der, &mallory.der) {
        let house = behind_a_front(field).await;
        let name = ["x-forwarded-client-cert", "x-ssl-client-cert", "client-cert"];
        let name = name.into_iter().find(|name| field.to_lowercase().contains(name)).unwrap_or("client-cert");
        let token = format!("Bearer {}", house.token(json!({ "cnf": alice.cnf() })));
        let mut passed = 0;
        for (lines, expected) in cases {
            let mut headers = vec![("authorization", token.as_str())];
            headers.extend(lines.iter().map(|line| (name, line.as_str())));
            let answer = house.send(get("/orders", &headers)).await;
            let line = house.log.line_of(&answer).await;
            assert_eq!(line["reason"], expected, "{field}: {lines:?}");
            passed += usize::from(expected == "verified");
        }
        let seen = house.upstream.seen();
        assert_eq!(seen.len(), passed, "{field}");
        assert!(seen.iter().all(|seen| seen.all(name).is_empty()), "the front's word ends here");
    }
}

#[tokio::test]
async fn whoever_is_not_the_front_names_no_certificate_and_no_spelling_of_it_reaches_the_upstream() {
    let alice = Identity::self_signed();
    let value = rfc9440(&alice.der);
    for field in ["Client-Cert", "X-Front-Says-Certificate"] {
        let house = behind_a_front(&format!("{{ header: {field} }}")).await;
        let token = format!("Bearer {}", house.token(json!({ "cnf": alice.cnf() })));
        let spellings = [
            field.to_owned(),
            field.to_uppercase(),
            field.replace('-', "_"),
            field.replace('-', "."),
            field.replace('-', ""),
            field.replacen('-', "~", 1),
        ];
        // First from the front: it is believed about its own spelling alone, and hands none on.
        for (place, spelling) in spellings.iter().enumerate() {
            let headers = [("authorization", token.as_str()), (spelling.as_str(), &value)];
            let status = house.send(get("/orders", &headers)).await.status;
            assert_eq!(status, if place < 2 { 200 } else { 401 }, "{spelling}");
        }
        house.reload_with("trusted_proxies: [127.0.0.1/32]", "trusted_proxies: [192.0.2.1/32]").await;
        for spelling in &spellings {
            let headers = [("authorization", token.as_str()), (spelling.as_str(), &value), ("x-kept", "yes")];
            assert_eq!(house.send(get("/orders", &headers)).await.status, 401, "{spelling}");
            assert_eq!(house.send(get("/public", &headers)).await.status, 200, "{spelling}");
        }
        // Nor as a trailer, nor does it help to name it in Connection.
        let named = get("/public", &[("connection", field), (field, &value)]);
        assert_eq!(house.send(named).await.status, 200);
        let head = request(
            "POST",
            "/public",
            &[("transfer-encoding", "chunked"), ("te", "trailers"), ("trailer", field)],
        );
        assert_eq!(house.send(format!("{head}2\r\nok\r\n0\r\n{field}: {value}\r\n\r\n")).await.status, 200);
        let seen = house.upstream.seen();
        assert_eq!(seen.len(), 4 + spellings.len());
        for seen in seen {
            assert!(seen.headers.iter().all(|(_, found)| *found != value), "{seen:?}");
        }
    }
}

/// On a listener where fronts name certificates, a front's own counts for nothing; everybody else's does.
#[tokio::test]
async fn a_fronts_own_certificate_never_counts_and_a_strangers_field_never_does() {
    const ANY: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_certificates: any }";
    let house = house(&Authority::new("nobody"), ANY, ROUTES).await;
    let (own, named) = (Identity::self_signed(), Identity::self_signed());
    let trusting = |network: &str| {
        format!("{ANY}, trusted_proxies: [{network}], client_certificate: {{ header: Client-Cert }}")
    };
    house.reload_with(ANY, &trusting("127.0.0.1/32")).await;
    let field = rfc9440(&named.der);
    let ask = async |bound_to: &Identity, with_field: bool| {
        let token = format!("Bearer {}", house.token(json!({ "cnf": bound_to.cnf() })));
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(with_field.then_some(("client-cert", field.as_str())));
        let client = Client::new(&house.certificate, Some(&own));
        let answer = client.ask(house.gateway, &get("/orders", &headers)).await.unwrap();
        house.log.line_of(&answer).await["reason"].as_str().unwrap().to_owned()
    };
    for (bound_to, with_field, expected) in [
        (&own, false, "certificate_missing"),
        (&own, true, "certificate_mismatch"),
        (&named, true, "verified"),
        (&named, false, "certificate_missing"),
    ] {
        assert_eq!(ask(bound_to, with_field).await, expected, "from the front");
    }
    house.reload_with(&trusting("127.0.0.1/32"), &trusting("192.0.2.1/32")).await;
    for (bound_to, with_field, expected) in [
        (&own, false, "verified"),
        (&own, true, "verified"),
        (&named, true, "certificate_mismatch"),
        (&named, false, "certificate_mismatch"),
    ] {
        assert_eq!(ask(bound_to, with_field).await, expected, "from a client");
    }
}
