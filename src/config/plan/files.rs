//! The files that the configuration names: read once here, so that `check` finds what `serve` would.

use crate::config::TlsPlan;
use crate::config::document::Tls;
use crate::config::problem::Findings;
use crate::config::read::Spot;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::io::Read;
use std::path::{Path, PathBuf};

type Text = Spot<String>;

/// The longest file of any kind, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file that a setting names.
pub(super) fn read(name: &Text, folder: &Path, findings: &mut Findings) -> Option<(PathBuf, Vec<u8>)> {
    if name.value.is_empty() {
        findings.problem(&name.place, "the file name is empty", "name a file, or delete the key");
        return None;
    }
    let path = folder.join(&name.value);
    let problem = match contents(&path) {
        Ok(Some(contents)) => return Some((path, contents)),
        Ok(None) => "it is no file, or longer than 1 MiB".to_owned(),
        Err(reason) => reason,
    };
    let place = &name.place;
    let help = "name a file that exists and that this user may read; relative paths start at the configuration file's directory";
    findings.problem(place, format!("cannot read {}: {problem}", name.shown()), help);
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
pub(super) fn tls(tls: &Tls, folder: &Path, findings: &mut Findings) -> Option<TlsPlan> {
    let chain = tls.certificate.as_ref().and_then(|name| certificates(name, folder, findings));
    let key = tls.private_key.as_ref().and_then(|name| private_key(name, folder, findings));
    let ((certificate, chain), (private_key, key)) = (chain?, key?);
    let name = tls.private_key.as_ref()?;
    let Ok(key) = any_supported_type(&key) else {
        let help = "use an ECDSA (P-256 or P-384), Ed25519 or RSA (2048 bits or more) key";
        findings.problem(&name.place, format!("{} holds a key that TLS cannot use", name.shown()), help);
        return None;
    };
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Some(TlsPlan { certificate, private_key })
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            let help = "name the key that the certificate was made for; the listener's own certificate comes first in the chain";
            findings.problem(&name.place, "the private key does not belong to the certificate", help);
            None
        }
        Err(_) => {
            if let Some(name) = &tls.certificate {
                findings.problem(&name.place, format!("{} holds no valid certificate", name.shown()), CHAIN);
            }
            None
        }
    }
}

const CHAIN: &str = "name a PEM file with \"-----BEGIN CERTIFICATE-----\" blocks, the listener's own first";
const KEY: &str = "name a PEM file with one unencrypted \"-----BEGIN PRIVATE KEY-----\" block";

fn certificates(
    name: &Text,
    folder: &Path,
    findings: &mut Findings,
) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let (path, contents) = read(name, folder, findings)?;
    let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&contents).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Some((path, chain)),
        _ => {
            findings.problem(&name.place, format!("{} holds no certificate", name.shown()), CHAIN);
            None
        }
    }
}

fn private_key(
    name: &Text,
    folder: &Path,
    findings: &mut Findings,
) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
    let (path, contents) = read(name, folder, findings)?;
    match PrivateKeyDer::from_pem_slice(&contents) {
        Ok(key) => Some((path, key)),
        Err(_) => {
            findings.problem(&name.place, format!("{} holds no private key", name.shown()), KEY);
            None
        }
    }
}
