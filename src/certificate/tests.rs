//! Known answers, and what is no answer.

use super::*;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

/// RFC 8705 appendix A, figures 5 and 6: a certificate of version 1.
const APPENDIX: [&str; 6] = [
    "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx",
    "ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG",
    "SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ",
    "/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID",
    "SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV",
    "bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=",
];
const ITS_THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

/// RFC 9440 appendix A, as `Client-Cert` has it. Its thumbprint is openssl's word.
const CLIENT_CERT: &str = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJ\
    MZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0\
    yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZ\
    Izj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be\
    5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgN\
    VHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0\
    lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCq\
    GSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/k\
    HSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:";
const ITS_OWN: &str = "v68ffgcPn6jdYpBfFY2nP4ShE2Yk-6_Mk5PI9yh6aes";

fn pem() -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", APPENDIX.join("\n"))
}

fn escaped() -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    pem().bytes().map(escape).collect()
}

fn found(format: Format, value: &str) -> Result<String, Absence> {
    format.read(value.as_bytes()).map(|found| found.to_string())
}

#[test]
fn the_certificates_of_the_standards_have_the_thumbprints_of_the_standards() {
    let good = |text: &str| Ok(text.to_owned());
    assert_eq!(found(Format::PemUrlEncoded, &escaped()), good(ITS_THUMBPRINT));
    assert_eq!(found(Format::PemUrlEncoded, &pem()), good(ITS_THUMBPRINT), "nothing has to be encoded");
    let by_aws = escaped().replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    assert!(by_aws.contains('+'));
    assert_eq!(found(Format::PemUrlEncoded, &by_aws), good(ITS_THUMBPRINT));
    assert_eq!(found(Format::Rfc9440, CLIENT_CERT), good(ITS_OWN));
    assert_eq!(found(Format::Rfc9440, &format!(":{}:", APPENDIX.concat())), good(ITS_THUMBPRINT));
    let envoys = format!(
        "Hash=0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd;Cert=\"{}\"",
        escaped()
    );
    assert_eq!(found(Format::Xfcc, &envoys), good(ITS_THUMBPRINT));
}

/// RFC 8941 section 4.2.7: padding and the bits behind the last byte say nothing.
#[test]
fn a_byte_sequence_is_read_as_structured_fields_are() {
    let inside = APPENDIX.concat();
    for (value, expected) in [
        (format!(" :{inside}: "), Ok(ITS_THUMBPRINT.to_owned())),
        (format!(":{}:", inside.trim_end_matches('=')), Ok(ITS_THUMBPRINT.to_owned())),
        (String::new(), Err(Absence::NotShown)),
        ("  ".to_owned(), Err(Absence::NotShown)),
        (":".to_owned(), Err(Absence::Unreadable)),
        ("::".to_owned(), Err(Absence::Unreadable)),
        (inside.clone(), Err(Absence::Unreadable)),
        (format!(":{inside}"), Err(Absence::Unreadable)),
        (format!("\"{inside}\""), Err(Absence::Unreadable)),
        (format!(":{inside}:;a=1"), Err(Absence::Unreadable)),
        (format!(":{inside}:, :{inside}:"), Err(Absence::Unreadable)),
        (format!(":{}:", APPENDIX.join(" ")), Err(Absence::Unreadable)),
        (format!(":{}:", inside.replace('+', "-").replace('/', "_")), Err(Absence::Unreadable)),
        (format!(":{}:", &inside[..inside.len() - 8]), Err(Absence::Unreadable)),
        // What follows the certificate would be of another thumbprint.
        (format!(":{}AAAA:", inside.replace('=', "A")), Err(Absence::Unreadable)),
    ] {
        assert_eq!(found(Format::Rfc9440, &value), expected, "{value}");
    }
}

#[test]
fn an_element_of_envoys_has_each_key_once() {
    let cert = format!("Cert=\"{}\"", escaped());
    let good = Ok(ITS_THUMBPRINT.to_owned());
    for (value, expected) in [
        (cert.clone(), good.clone()),
        (format!("By=spiffe://a.test/b;URI=c;cErT={};DNS=d;DNS=e", escaped()), good.clone()),
        (format!("Subject=\"CN=a\\\"b;Cert=c,\\\\\";{cert}"), good),
        (format!("Subject=\"CN=a\\\\\";Cert=\"c\";{cert}"), Err(Absence::Unreadable)),
        (format!("{cert},By=a"), Err(Absence::Unreadable)),
        (format!("By=a,{cert}"), Err(Absence::Unreadable)),
        (format!("{cert};{cert}"), Err(Absence::Unreadable)),
        (format!("{cert};"), Err(Absence::Unreadable)),
        (format!(";{cert}"), Err(Absence::Unreadable)),
        (format!("{cert}x"), Err(Absence::Unreadable)),
        (format!("Hash=00;{cert}"), Err(Absence::Unreadable)),
        (format!("Hash=;{cert}"), Err(Absence::Unreadable)),
        ("By=a;Hash=b;Subject=\"\"".to_owned(), Err(Absence::Unreadable)),
        ("Cert=\"\"".to_owned(), Err(Absence::Unreadable)),
        ("Cert=".to_owned(), Err(Absence::Unreadable)),
        ("Cert".to_owned(), Err(Absence::Unreadable)),
        (cert[..cert.len() - 1].to_owned(), Err(Absence::Unreadable)),
    ] {
        assert_eq!(found(Format::Xfcc, &value), expected, "{value}");
    }
}

#[test]
fn a_field_that_stands_twice_names_nothing() {
    let field = CertificateField { name: HeaderName::from_static("client-cert"), format: Format::Rfc9440 };
    let mut headers = HeaderMap::new();
    assert_eq!(field.read(&headers), Err(Absence::NotShown));
    headers.insert("client_cert", HeaderValue::from_static(CLIENT_CERT));
    assert_eq!(field.read(&headers), Err(Absence::NotShown), "another spelling is another field");
    headers.insert("client-cert", HeaderValue::from_static(CLIENT_CERT));
    assert_eq!(field.read(&headers).unwrap().to_string(), ITS_OWN);
    headers.append("client-cert", HeaderValue::from_static(""));
    assert_eq!(field.read(&headers), Err(Absence::Repeated));
}

#[test]
fn what_is_longer_than_any_certificate_is_not_read() {
    let long = format!("{}{}", escaped(), "%0A".repeat(22_000));
    assert_eq!(found(Format::PemUrlEncoded, &long), Err(Absence::Unreadable));
}

proptest! {
    /// Nothing that anybody sends makes them fall over, and nothing but the whole certificate is one.
    #[test]
    fn no_value_is_a_certificate_by_chance(value in prop::collection::vec(any::<u8>(), 0..200), cut in 0..355_usize) {
        for format in [Format::Rfc9440, Format::Xfcc, Format::PemUrlEncoded] {
            prop_assert!(format.read(&value).is_err());
            let value = escaped();
            prop_assert!(format == Format::PemUrlEncoded || format.read(value.as_bytes()).is_err());
            prop_assert!(format.read(&value.as_bytes()[..cut]).is_err());
        }
    }
}
