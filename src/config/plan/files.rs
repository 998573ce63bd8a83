//! The files that the configuration names: read once here, so that `check` finds what `serve` would.

use super::{Surroundings, certificates, client_certificates};
use crate::config::document::Tls;
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::config::reading::Files;
use crate::config::{TlsIdentity, TlsPlan};
use crate::net::pem::{self, PemError};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use webpki::anchor_from_trusted_cert;

type Text = Spot<String>;

/// The longest file of any kind, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file that a setting names.
pub(super) fn read(name: &Text, files: &Files<'_>, findings: &mut Findings) -> Option<(PathBuf, Arc<[u8]>)> {
    if name.value.is_empty() {
        findings.problem(&name.place, "the file name is empty", "name a file, or delete the key");
        return None;
    }
    let path = files.path(&name.value);
    let problem = match files.read(&path, &name.place) {
        Ok(Some(contents)) => return Some((path, contents)),
        Ok(None) => "it is no file, or longer than 1 MiB".to_owned(),
        Err(reason) => reason,
    };
    let place = &name.place;
    let help = "name a file that exists and that this user may read; relative paths start at the configuration file's directory";
    findings.problem(place, format!("cannot read {}: {problem}", name.path()), help);
    None
}

/// The contents; `None` if it is no regular file or too long.
///
/// # Errors
/// The operating system's reason.
pub(in crate::config) fn contents(path: &Path) -> Result<Option<Vec<u8>>, String> {
    open(path).map_err(|error| reason(&error))
}

/// A pipe or a device would never end, so it is not opened.
fn open(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut contents = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut contents)?;
    let short = u64::try_from(contents.len()).is_ok_and(|length| length <= MAX_FILE);
    Ok(short.then_some(contents))
}

/// The operating system's reason, in words that are the same everywhere.
fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    if error.kind() == ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if error.kind() == ErrorKind::PermissionDenied {
        "permission denied".to_owned()
    } else {
        error.to_string()
    }
}

/// Certificate and key, read and found to fit each other.
pub(super) fn tls(tls: &Tls, around: &Surroundings<'_>, findings: &mut Findings) -> Option<TlsPlan> {
    let mut chain = None;
    if let Some(name) = &tls.certificate {
        chain = pem(name, around.files, pem::certificates, findings)
            .filter(|(_, chain)| certificates::servable(name, chain, findings));
    }
    let key = tls.private_key.as_ref().and_then(|name| pem(name, around.files, pem::private_key, findings));
    let clients = client_certificates::asked(tls, around.files, findings);
    let ((_, chain), (_, key)) = (chain?, key?);
    let (certificate_name, name) = (tls.certificate.as_ref()?, tls.private_key.as_ref()?);
    certificates::note(certificate_name, &chain, around, findings);
    let pair = pair(chain, &key, name, findings)?;
    Some(TlsPlan { pair: Arc::new(pair), clients: clients? })
}

/// Who vouches for a peer: for the servers of an upstream or of an issuer, for clients.
pub(super) fn authorities(
    name: &Text,
    files: &Files<'_>,
    findings: &mut Findings,
) -> Option<Vec<CertificateDer<'static>>> {
    let (_, found) = pem(name, files, pem::certificates, findings)?;
    if let Some(place) = found.iter().position(|certificate| anchor_from_trusted_cert(certificate).is_err()) {
        let what = format!("{}: certificate {} cannot be read", name.path(), place.saturating_add(1));
        let help = "name a PEM file with the certificates of the authorities that issue the other side's certificates";
        findings.problem(&name.place, what, help);
        return None;
    }
    Some(found)
}

/// The gateway's own certificate, which it shows to servers of an upstream.
pub(super) fn identity(
    certificate: &Text,
    private_key: &Text,
    files: &Files<'_>,
    findings: &mut Findings,
) -> Option<TlsIdentity> {
    let chain = pem(certificate, files, pem::certificates, findings)
        .filter(|(_, chain)| certificates::servable(certificate, chain, findings));
    let key = pem(private_key, files, pem::private_key, findings);
    let ((_, chain), (_, key)) = (chain?, key?);
    let pair = pair(chain, &key, private_key, findings)?;
    Some(TlsIdentity::new(pair, key))
}

/// A chain and its key, if the key is one that TLS can use and fits; `name` is the key's.
fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    name: &Text,
    findings: &mut Findings,
) -> Option<CertifiedKey> {
    let Ok(key) = any_supported_type(key) else {
        let help = "use an ECDSA (P-256 or P-384), Ed25519 or RSA (2048 bits or more) key";
        findings.problem(&name.place, format!("{} holds a key that TLS cannot use", name.path()), help);
        return None;
    };
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Some(pair),
        Err(_) => {
            let (what, help) = certificates::foreign_key(&pair);
            findings.problem(&name.place, what, help);
            None
        }
    }
}

/// Reads a PEM file that a setting names.
fn pem<T>(
    name: &Text,
    files: &Files<'_>,
    parse: fn(&[u8]) -> Result<T, PemError>,
    findings: &mut Findings,
) -> Option<(PathBuf, T)> {
    let (path, contents) = read(name, files, findings)?;
    match parse(&contents) {
        Ok(parsed) => Some((path, parsed)),
        Err(error) => {
            findings.problem(&name.place, format!("{} {}", name.path(), error.what), error.help);
            None
        }
    }
}
