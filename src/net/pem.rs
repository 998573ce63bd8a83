//! PEM files (RFC 7468) as people have them: with a byte order mark, with the wrong thing in them, or not PEM at all.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a file has not what was looked for in it. Shown, it goes on where the file's name ends: `FILE is empty; …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct PemError {
    /// What it is, or what it lacks.
    pub what: String,
    /// What to do about it.
    pub help: &'static str,
}

/// Every certificate of a file, in its order; at least one.
///
/// # Errors
/// What the file holds instead.
pub fn certificates(contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let contents = without_mark(contents);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(instead(contents, &CERTIFICATE)),
        Err(_) => Err(broken(&CERTIFICATE)),
    }
}

/// The first private key of a file.
///
/// # Errors
/// What the file holds instead.
pub fn private_key(contents: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let contents = without_mark(contents);
    // Older encrypted keys have the label of a plain one, and say so in a line of their own (RFC 1421 section 4.6.1.1).
    if labels(contents).any(|label| label == "ENCRYPTED PRIVATE KEY")
        || contains(contents, "Proc-Type: 4,ENCRYPTED")
    {
        let help =
            "write it without a passphrase, readable by this user alone: openssl pkey -in FILE -out FILE";
        return Err(PemError { what: "holds an encrypted private key".to_owned(), help });
    }
    match PrivateKeyDer::from_pem_slice(contents) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(instead(contents, &PRIVATE_KEY)),
        Err(_) => Err(broken(&PRIVATE_KEY)),
    }
}

/// What a file should hold, and how to get it out of a file of another kind.
struct Wanted {
    name: &'static str,
    help: &'static str,
    from_der: &'static str,
    from_pkcs12: &'static str,
}

const CERTIFICATE: Wanted = Wanted {
    name: "certificate",
    help: "name a PEM file with \"-----BEGIN CERTIFICATE-----\" blocks, the listener's own first",
    from_der: "write it as PEM: openssl x509 -inform der -in FILE -out FILE.pem",
    from_pkcs12: "take the certificates out: openssl pkcs12 -in FILE -nokeys -out FILE.pem",
};
const PRIVATE_KEY: Wanted = Wanted {
    name: "private key",
    help: "name a PEM file with one unencrypted \"-----BEGIN PRIVATE KEY-----\" block",
    from_der: "write it as PEM: openssl pkey -inform der -in FILE -out FILE.pem",
    from_pkcs12: "take the key out: openssl pkcs12 -in FILE -nocerts -noenc -out FILE.pem",
};

/// UTF-8's byte order mark, which some editors write, says nothing.
fn without_mark(contents: &[u8]) -> &[u8] {
    contents.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(contents)
}

fn broken(wanted: &Wanted) -> PemError {
    PemError { what: format!("holds a {} that is cut off or damaged", wanted.name), help: wanted.help }
}

/// What is there where `wanted` is not.
fn instead(contents: &[u8], wanted: &Wanted) -> PemError {
    let name = wanted.name;
    let (what, help) = if contents.trim_ascii().is_empty() {
        ("is empty".to_owned(), wanted.help)
    } else if contents.starts_with(b"\xFF\xFE") || contents.starts_with(b"\xFE\xFF") {
        ("is UTF-16 text".to_owned(), "save it as UTF-8")
    } else if is_pkcs12(contents) {
        ("is PKCS #12, not PEM".to_owned(), wanted.from_pkcs12)
    } else if is_der(contents) {
        ("is DER, not PEM".to_owned(), wanted.from_der)
    } else if let Some(label) = labels(contents).next() {
        match label {
            "CERTIFICATE" => (format!("holds a certificate, no {name}"), wanted.help),
            key if key.ends_with("PRIVATE KEY") => (format!("holds a private key, no {name}"), wanted.help),
            "PKCS7" | "CMS" => (
                format!("holds PKCS #7, no {name} that can be read"),
                "take the certificates out: openssl pkcs7 -print_certs -in FILE -out FILE.pem",
            ),
            "TRUSTED CERTIFICATE" => (
                format!("holds a certificate in OpenSSL's own form, no {name} that can be read"),
                "write it as others read it: openssl x509 -in FILE -out FILE.pem",
            ),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => (
                format!("holds a request for a certificate, no {name}"),
                "name what the certification authority made of it",
            ),
            _ => (format!("holds no {name}"), wanted.help),
        }
    } else {
        (format!("holds no {name}"), wanted.help)
    };
    PemError { what, help }
}

/// A sequence with a length that is written in bytes of its own: any certificate or key, and PKCS #12.
fn is_der(contents: &[u8]) -> bool {
    matches!(contents, [0x30, 0x81..=0x84, ..])
        || matches!(contents, [0x30, length, ..] if usize::from(*length) + 2 == contents.len())
}

/// The sequence begins with version 3 (RFC 7292 section 4); a certificate begins with a sequence, a key with version 0 or 1.
fn is_pkcs12(contents: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = contents else { return false };
    let skipped = if *length < 0x80 { 0 } else { usize::from(length & 0x7F) };
    rest.get(skipped..).is_some_and(|inner| inner.starts_with(&[0x02, 0x01, 0x03]))
}

/// What the blocks of the file are.
fn labels(contents: &[u8]) -> impl Iterator<Item = &str> {
    contents.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")
    })
}

fn contains(contents: &[u8], text: &str) -> bool {
    contents.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["api.example.com".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_byte_order_mark_hides_nothing() {
        let (certificate, key) = made();
        let chain = format!("\u{feff}{certificate}{certificate}");
        assert_eq!(certificates(chain.as_bytes()).unwrap().len(), 2, "the first one counts");
        private_key(format!("\u{feff}{key}").as_bytes()).unwrap();
        private_key(key.replace('\n', "\r\n").as_bytes()).unwrap();
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let (certificate, key) = made();
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let utf16: Vec<u8> =
            [0xFEFF].into_iter().chain(certificate.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let block =
            |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes();
        for (contents, what) in [
            (Vec::new(), "is empty"),
            (b"\xEF\xBB\xBF\n".to_vec(), "is empty"),
            (b"hello".to_vec(), "holds no certificate"),
            (utf16, "is UTF-16 text"),
            (der.to_vec(), "is DER, not PEM"),
            (vec![0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03, 0x30], "is PKCS #12, not PEM"),
            (key.clone().into_bytes(), "holds a private key, no certificate"),
            (block("PKCS7"), "holds PKCS #7, no certificate that can be read"),
            (block("CERTIFICATE REQUEST"), "holds a request for a certificate, no certificate"),
            (
                certificate.replace("-----END", "----").into_bytes(),
                "holds a certificate that is cut off or damaged",
            ),
        ] {
            assert_eq!(certificates(&contents).unwrap_err().what, what);
        }
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        for (contents, what) in [
            (certificate.into_bytes(), "holds a certificate, no private key"),
            (block("ENCRYPTED PRIVATE KEY"), "holds an encrypted private key"),
            (old.as_bytes().to_vec(), "holds an encrypted private key"),
            (block("PUBLIC KEY"), "holds no private key"),
            (der.to_vec(), "is DER, not PEM"),
        ] {
            assert_eq!(private_key(&contents).unwrap_err().what, what);
        }
    }
}
