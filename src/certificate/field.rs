//! How a front that has ended TLS says which certificate its client has shown.
//!
//! Whoever is believed about that is believed about everybody, so what is not exactly one certificate in exactly the configured form is none.

use super::shape::is_certificate;
use super::{Absence, CertificateThumbprint, Shown, xfcc};
use crate::headers::only;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::{HeaderMap, HeaderName};

/// The longest value that is read, in bytes. A gRPC message may bring one that is longer than any header.
const MAX_VALUE: usize = 64 * 1024;

/// Parsers of structured fields do not insist on padding, nor on what the bits behind the last byte are (RFC 8941 section 4.2.7).
const STRUCTURED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The form in which a front writes a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `:MIIB…:`, a byte sequence of structured fields (RFC 9440 section 2.1).
    Rfc9440,
    /// `X-Forwarded-Client-Cert` as Envoy has it: `Hash=…;Cert="…"`, with PEM that is percent-encoded.
    Xfcc,
    /// PEM that is percent-encoded: nginx's `$ssl_client_escaped_cert`, AWS.
    PemUrlEncoded,
}

/// The field in which a front names the certificate of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateField {
    /// Its name.
    pub name: HeaderName,
    /// What its value looks like.
    pub format: Format,
}

impl CertificateField {
    /// The certificate that these headers name.
    ///
    /// # Errors
    /// They name none, or several, or what they name is none.
    pub fn read(&self, headers: &HeaderMap) -> Shown {
        let line = only(headers, &self.name).map_err(|_| Absence::Repeated)?;
        self.format.read(line.map_or(&[][..], |line| line.as_bytes()))
    }
}

impl Format {
    /// The certificate in a value of this form. An empty one is what fronts write where no certificate was shown.
    ///
    /// # Errors
    /// There is none, or not exactly one.
    pub fn read(self, value: &[u8]) -> Shown {
        let value = value.trim_ascii();
        if value.is_empty() {
            return Err(Absence::NotShown);
        }
        let der = self.der(value).filter(|der| is_certificate(der)).ok_or(Absence::Unreadable)?;
        Ok(CertificateThumbprint::of(&der))
    }

    fn der(self, value: &[u8]) -> Option<Vec<u8>> {
        if value.len() > MAX_VALUE {
            return None;
        }
        match self {
            Self::Rfc9440 => STRUCTURED.decode(value.strip_prefix(b":")?.strip_suffix(b":")?).ok(),
            Self::PemUrlEncoded => pem(&percent_decoded(value)?),
            Self::Xfcc => {
                let element = xfcc::Element::read(value)?;
                let der = pem(&percent_decoded(&element.cert?)?)?;
                let names_it = |hash: Vec<u8>| hash == CertificateThumbprint::of(&der).0;
                element.hash.is_none_or(|hash| hex(&hash).is_some_and(names_it)).then_some(der)
            }
        }
    }
}

/// The one certificate of a text in PEM (RFC 7468): white space is where the front likes it.
fn pem(text: &[u8]) -> Option<Vec<u8>> {
    let inside = text.trim_ascii().strip_prefix(b"-----BEGIN CERTIFICATE-----")?;
    let inside = inside.strip_suffix(b"-----END CERTIFICATE-----")?;
    let inside: Vec<u8> = inside.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(inside).ok()
}

/// Percent-encoding (RFC 3986 section 2.1) undone. `+` is a plus: AWS leaves those of base64 as they are.
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        let (byte, after) = match rest {
            [] => return Some(decoded),
            [b'%', high, low, after @ ..] => (octet(*high, *low)?, after),
            [b'%', ..] => return None,
            [byte, after @ ..] => (*byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
}

/// The bytes that are written in hexadecimal digits.
fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| octet(*high, *low)).collect()
}

fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}
