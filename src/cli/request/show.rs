//! What is printed: the answer on one stream, its story on the other.

use crate::client::token::{Token, TokenEndpoint};
use crate::client::{Answer, Call, Sent};
use crate::headers::DPOP;
use crate::jose::{PrivateKey, decode};
use http::Version;
use http::header::AUTHORIZATION;
use std::io::{Result, Write};

/// The two streams, and how much goes to them. Lines on `err` begin as curl's do: `*` about, `>` sent, `<`
/// received.
pub(super) struct Shown<'a, O, E> {
    pub(super) include: bool,
    pub(super) verbose: bool,
    pub(super) out: &'a mut O,
    pub(super) err: &'a mut E,
}

impl<O: Write, E: Write> Shown<'_, O, E> {
    /// Which key signs.
    pub(super) fn key(&mut self, key: &PrivateKey) -> Result<()> {
        let (name, jkt) = (key.algorithm().name(), key.public().thumbprint());
        self.about(&format!("key: {name}, thumbprint {jkt}"))
    }

    /// Where the token came from.
    pub(super) fn token(&mut self, endpoint: &TokenEndpoint, token: &Token) -> Result<()> {
        let lifetime = token.expires_in.map(|s| format!(", expires in {s} s")).unwrap_or_default();
        let nonce = if token.challenged { ", after one use_dpop_nonce" } else { "" };
        self.about(&format!("token: {} from {}{lifetime}{nonce}", token.token_type, endpoint.uri))?;
        if !token.token_type.eq_ignore_ascii_case("DPoP") {
            writeln!(
                self.err,
                "keyproof request: the token is not bound to the key (token_type {:?})",
                token.token_type
            )?;
        }
        Ok(())
    }

    /// What was sent and what came back.
    pub(super) fn attempt(&mut self, call: &Call, sent: &Sent) -> Result<()> {
        if !self.verbose {
            return Ok(());
        }
        if let Some(proof) = &sent.proof {
            self.proof(proof)?;
        }
        let path = call.uri.path_and_query().map_or("/", |path| path.as_str());
        writeln!(self.err, "> {} {path} HTTP/1.1", call.method)?;
        writeln!(self.err, "> host: {}", call.uri.authority().map_or("", |a| a.as_str()))?;
        writeln!(self.err, "> {AUTHORIZATION}: {}", shortened(&sent.authorization))?;
        if let Some(proof) = &sent.proof {
            writeln!(self.err, "> {DPOP}: {proof}")?;
        }
        for (name, value) in &call.headers {
            writeln!(self.err, "> {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(self.err, ">")?;
        write!(self.err, "{}", head(&sent.answer, "< "))?;
        writeln!(self.err, "<")
    }

    /// That the answer was a challenge, and that the next attempt meets it.
    pub(super) fn challenge_followed(&mut self, answer: &Answer) -> Result<()> {
        let nonce = answer.resource_nonce_challenge().unwrap_or_default();
        self.about(&format!("use_dpop_nonce: signing again with nonce {nonce}"))
    }

    /// The answer itself.
    pub(super) fn answer(&mut self, answer: &Answer) -> Result<()> {
        if self.include {
            writeln!(self.out, "{}", head(answer, ""))?;
        }
        self.out.write_all(&answer.body)?;
        // A shell's prompt, or the next answer, starts on its own line.
        if !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
            writeln!(self.out)?;
        }
        self.out.flush()
    }

    fn proof(&mut self, proof: &str) -> Result<()> {
        for (segment, what) in proof.split('.').zip(["header", "claims"]) {
            let decoded = decode(segment).and_then(|bytes| String::from_utf8(bytes).ok());
            self.about(&format!("proof {what}: {}", decoded.as_deref().unwrap_or("cannot be decoded")))?;
        }
        Ok(())
    }

    fn about(&mut self, text: &str) -> Result<()> {
        if self.verbose { writeln!(self.err, "* {text}") } else { Ok(()) }
    }
}

fn head(answer: &Answer, mark: &str) -> String {
    let version = if answer.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let reason = answer.status.canonical_reason().unwrap_or_default();
    let mut text = format!("{mark}{version} {} {reason}\n", answer.status.as_u16());
    for (name, value) in &answer.headers {
        text.push_str(&format!("{mark}{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text
}

/// Scheme and token with the middle of the token left out: enough to tell two apart, too little to use.
pub(super) fn shortened(authorization: &str) -> String {
    let (scheme, token) = authorization.split_once(' ').unwrap_or(("", authorization));
    let count = token.chars().count();
    if count <= 24 {
        return format!("{scheme} … ({count} characters)");
    }
    let start: String = token.chars().take(8).collect();
    let end: String = token.chars().skip(count.saturating_sub(4)).collect();
    format!("{scheme} {start}…{end} ({count} characters)")
}
