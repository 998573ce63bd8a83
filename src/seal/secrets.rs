//! The file of secrets: one a line, in base64url or hex.

use crate::jose::{SealingSecret, decode};

/// The least a secret has, in bytes.
pub const MIN_SECRET: usize = 32;

/// A line that is no secret. It never shows the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {what}")]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads the secrets, the one that seals first and then the others; white space around them, and after the last, does not count.
///
/// # Errors
/// Every line that is no secret; a file without any is one whose first line is none.
pub fn read_secrets(contents: &[u8]) -> Result<(SealingSecret, Vec<SealingSecret>), Vec<BadLine>> {
    let mut secrets = Vec::new();
    let mut bad = Vec::new();
    for (line, text) in (1..).zip(contents.trim_ascii_end().split(|byte| *byte == b'\n')) {
        match secret(text.trim_ascii()) {
            Ok(secret) => secrets.push(SealingSecret::new(&secret)),
            Err(what) => bad.push(BadLine { line, what }),
        }
    }
    if !bad.is_empty() || secrets.is_empty() {
        return Err(bad);
    }
    let first = secrets.remove(0);
    Ok((first, secrets))
}

/// The bytes that a line writes. Digits of hex alone are hex, never base64url: by chance nobody gets 64 of them there.
fn secret(line: &[u8]) -> Result<Vec<u8>, &'static str> {
    if line.is_empty() {
        return Err("is empty");
    }
    let text = std::str::from_utf8(line).map_err(|_| NEITHER)?;
    let bytes = if line.iter().all(u8::is_ascii_hexdigit) { hex(text) } else { decode(text) };
    let bytes = bytes.ok_or(NEITHER)?;
    if bytes.len() < MIN_SECRET { Err("has fewer than 32 bytes") } else { Ok(bytes) }
}

const NEITHER: &str = "is neither base64url without padding nor hex";

fn hex(text: &str) -> Option<Vec<u8>> {
    let starts = (0..text.len()).step_by(2);
    starts.map(|at| u8::from_str_radix(text.get(at..at.checked_add(2)?)?, 16).ok()).collect()
}
