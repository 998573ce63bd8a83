//! `keyproof explain`: every check of RFC 9449 section 4.3 on one proof, for whoever asks why it was refused; with a configuration file
//! every check that the gateway makes.

mod gateway;

use crate::certificate::{Absence, CertificateThumbprint, Shown};
use crate::clock::UnixTime;
use crate::dpop::{
    AcceptanceWindow, Check, CheckOutcome, Expected, NonceMint, NoncePolicy, TargetUri, Verifier, shown,
};
use crate::issuer::fetch;
use crate::jose::json::{Limits, Object, Value};
use crate::jose::{Algorithm, CompactJws, JoseHeader, Sha256, Thumbprint, sha256};
use crate::net::pem;
use crate::token::KeySet;
use crate::uri::{CanonicalPath, Origin, Scheme};
use gateway::Rehearsal;
use http::Method;
use std::io::{Error, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Url;

/// Check a DPoP proof and say what each check of RFC 9449 section 4.3 expected and found.
///
/// With --config it also says which route takes the request, what that asks for, and how each check of the gateway goes on
/// the token and on the route; only whether the proof was used before is not known here. Keys are fetched from where the configuration
/// says, unless --jwks gives them.
///
/// A value that begins with @ is read from the file of that name; - is standard input.
/// Nothing of it is sent anywhere. Exits with 0 if no check failed, with 1 otherwise.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// The proof: what the DPoP header held.
    #[arg(long, value_name = "PROOF", required_unless_present = "config")]
    proof: Option<String>,
    /// The access token that came with it. Without it, ath and the binding to the key are skipped.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The request's method.
    #[arg(long, value_name = "METHOD")]
    method: String,
    /// The URL that the client asked for; its query and fragment do not matter.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The gateway's configuration file: its routes, issuers and rules are those that count.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["max_age", "leeway", "algorithms"])]
    config: Option<PathBuf>,
    /// The client certificate that came with the request, a PEM file, for a token that is bound to one.
    #[arg(long, value_name = "FILE", requires = "config")]
    cert: Option<PathBuf>,
    /// The issuer's JWK Set, to verify the token's signature with.
    #[arg(long, value_name = "FILE_OR_URL", requires = "token")]
    jwks: Option<String>,
    /// The time to check at, in seconds since 1970; now if absent.
    #[arg(long, value_name = "UNIX_TIME")]
    at: Option<f64>,
    /// How old iat may be, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    max_age: u64,
    /// How far iat may be in the future, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    leeway: u64,
    /// The algorithms that a proof may use.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "ES256,EdDSA,PS256")]
    algorithms: Vec<String>,
}

/// Prints the checks; `true` if none failed. `now` counts where `--at` is absent.
///
/// # Errors
/// An argument that cannot be read, in words for the user; or `out` cannot be written.
pub(super) fn run(args: &ExplainArgs, now: UnixTime, out: &mut impl Write) -> std::io::Result<bool> {
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let plain = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
    explain(args, now, out, std::io::stdout().is_terminal() && !plain)
}

fn explain(args: &ExplainArgs, now: UnixTime, out: &mut impl Write, colour: bool) -> std::io::Result<bool> {
    let question = Question::read(args, now)?;
    let (route, rows) = match &args.config {
        None => (None, question.checks()),
        Some(file) => {
            let rehearsal = Rehearsal::of(file, args.jwks.as_deref(), question.now)?;
            let (route, rows) = rehearsal.explain(&question)?;
            (Some(route), rows)
        }
    };
    writeln!(out, "{} {}", question.method, shown(&question.url))?;
    writeln!(out, "at {} ({})", seconds(question.now), httpdate::fmt_http_date(system_time(question.now)))?;
    if let Some(route) = route {
        writeln!(out, "{route}")?;
    }
    writeln!(out)?;
    print(&rows, out, colour)?;
    writeln!(out, "\n{}", closing(&rows))?;
    Ok(rows.iter().all(|row| row.outcome != CheckOutcome::Failed))
}

/// One line of the report: a check of section 4.3, or one on the token beside it.
struct Row {
    label: String,
    what: &'static str,
    outcome: CheckOutcome,
    expected: String,
    found: String,
}

impl From<Check> for Row {
    fn from(check: Check) -> Self {
        // Check 12 has two halves; the proof alone decides the first.
        let label = if check.number == 12 { "12a".to_owned() } else { check.number.to_string() };
        Self { label, what: check.what, outcome: check.outcome, expected: check.expected, found: check.found }
    }
}

/// What was asked, read from the arguments.
struct Question {
    proof: String,
    token: Option<String>,
    method: Method,
    url: String,
    origin: Origin,
    path: String,
    keys: Option<KeySet>,
    certificate: Shown,
    now: UnixTime,
    window: AcceptanceWindow,
    algorithms: Vec<Algorithm>,
}

/// The client's own certificate, which stands first in its file.
fn client_certificate(file: &Path) -> std::io::Result<CertificateThumbprint> {
    let unread = |why: &dyn std::fmt::Display| wrong(&format!("--cert: {}: {why}", file.display()));
    let contents = std::fs::read(file).map_err(|error| unread(&error))?;
    let chain = pem::certificates(&contents).map_err(|error| unread(&format!("it {error}")))?;
    chain.first().map(|own| CertificateThumbprint::of(own)).ok_or_else(|| unread(&"no certificate"))
}

/// What an access token says, if it is a JWT.
struct Jwt<'a> {
    jws: CompactJws<'a>,
    header: JoseHeader,
    exp: Option<UnixTime>,
    jkt: Option<String>,
}

impl Question {
    fn read(args: &ExplainArgs, now: UnixTime) -> std::io::Result<Self> {
        let url = value(&args.url)?;
        let (origin, path) = target(&url)?;
        let method = Method::from_bytes(value(&args.method)?.as_bytes());
        let at = args.at.map(|at| UnixTime::from_numeric_date(at).ok_or_else(|| wrong("--at: not a time")));
        let keys = args.jwks.as_deref().filter(|_| args.config.is_none()).map(|source| {
            KeySet::parse(&document(source)?).map_err(|error| wrong(&format!("--jwks: {error}")))
        });
        let algorithm =
            |name: &String| Algorithm::from_name(name).ok_or_else(|| wrong("--algorithms: not an algorithm"));
        let certificate = args.cert.as_deref().map(client_certificate).transpose()?;
        Ok(Self {
            proof: args.proof.as_deref().map(value).transpose()?.unwrap_or_default(),
            token: args.token.as_deref().map(value).transpose()?,
            method: method.map_err(|_| wrong("--method: not a method"))?,
            url,
            origin,
            path,
            keys: keys.transpose()?,
            certificate: certificate.ok_or(Absence::NotShown),
            now: at.transpose()?.unwrap_or(now),
            window: AcceptanceWindow {
                max_age: Duration::from_secs(args.max_age),
                leeway: Duration::from_secs(args.leeway),
            },
            algorithms: args.algorithms.iter().map(algorithm).collect::<Result<_, _>>()?,
        })
    }

    /// Every check that needs no configuration.
    fn checks(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.proof_checks().into_iter().map(Row::from).collect();
        rows.push(self.binding());
        if let Some(token) = self.jwt() {
            rows.push(self.token_signature(&token));
            rows.push(self.token_expiry(&token));
        }
        rows
    }

    fn proof_checks(&self) -> Vec<Check> {
        let ath: Option<Sha256> = self.token.as_ref().map(|token| sha256(&[token.as_bytes()]));
        let target = TargetUri { origin: &self.origin, path: &self.path };
        let expected = Expected { method: &self.method, target, ath: ath.as_ref(), nonce: NoncePolicy::Off };
        let mint = NonceMint::new(&[], Duration::ZERO);
        Verifier::new(self.algorithms.clone(), self.window, Arc::new(mint)).report(
            &self.proof,
            &expected,
            self.now,
        )
    }

    /// The thumbprint of the proof's key, if it has a valid one.
    fn jkt(&self) -> Option<Thumbprint> {
        let jws = CompactJws::split(&self.proof).ok()?;
        JoseHeader::of_proof(jws.header_segment).ok()?.jwk.map(|key| key.thumbprint())
    }

    fn jwt(&self) -> Option<Jwt<'_>> {
        let jws = CompactJws::split(self.token.as_deref()?).ok()?;
        let header = JoseHeader::of_token(jws.header_segment).ok()?;
        let claims = Object::parse(&jws.payload, Limits::TOKEN).ok()?;
        let exp = claims.get("exp").and_then(Value::as_number).and_then(UnixTime::from_numeric_date);
        let cnf = claims.get("cnf").and_then(Value::as_object);
        let jkt = cnf.and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str).map(str::to_owned);
        Some(Jwt { header, exp, jkt, jws })
    }

    /// Check 12b: the proof's key is the one that the token is bound to.
    fn binding(&self) -> Row {
        let row = |outcome, expected: String, found: String| Row {
            label: "12b".to_owned(),
            what: "key binding",
            outcome,
            expected,
            found,
        };
        let found = self.jkt().map_or_else(|| "no valid key".to_owned(), |jkt| jkt.to_string());
        let expected = match (&self.token, self.jwt()) {
            (None, _) => {
                return row(CheckOutcome::Skipped, "the key of the token, none given".to_owned(), found);
            }
            (Some(_), None) => {
                return row(CheckOutcome::Skipped, "the key of the token, which is no JWT".to_owned(), found);
            }
            (Some(_), Some(token)) => token.jkt,
        };
        let Some(expected) = expected else {
            return row(
                CheckOutcome::Failed,
                "a token with cnf.jkt".to_owned(),
                "none: it is bound to no key".to_owned(),
            );
        };
        let same = self.jkt().is_some_and(|jkt| Thumbprint::parse(&expected) == Some(jkt));
        row(
            if same { CheckOutcome::Passed } else { CheckOutcome::Failed },
            format!("cnf.jkt {}", shown(&expected)),
            found,
        )
    }

    fn token_signature(&self, token: &Jwt<'_>) -> Row {
        let row = |outcome, found: &str| Row {
            label: String::new(),
            what: "token signature",
            outcome,
            expected: "made by a key of the issuer".to_owned(),
            found: found.to_owned(),
        };
        let Some(keys) = &self.keys else { return row(CheckOutcome::Skipped, "no --jwks to verify it with") };
        let Some(algorithm) = token.header.alg.as_deref().and_then(Algorithm::from_name) else {
            return row(CheckOutcome::Failed, "an alg that is not accepted");
        };
        let mut tried =
            keys.named(token.header.kid.as_deref(), algorithm).chain(keys.nameless(algorithm)).peekable();
        if tried.peek().is_none() {
            return row(CheckOutcome::Failed, "no key of this kid and alg in the key set");
        }
        if tried.any(|key| token.jws.verify(algorithm, key).is_ok()) {
            row(CheckOutcome::Passed, "made by one in the key set")
        } else {
            row(CheckOutcome::Failed, "the signature does not verify")
        }
    }

    fn token_expiry(&self, token: &Jwt<'_>) -> Row {
        let row = |outcome, found: String| Row {
            label: String::new(),
            what: "token exp",
            outcome,
            expected: format!("after {}", seconds(self.now)),
            found,
        };
        let Some(exp) = token.exp else { return row(CheckOutcome::Failed, "none".to_owned()) };
        let left = exp.seconds_after(self.now);
        // As for a request: the issuer's clock may differ by the leeway.
        let outcome = if self.now < exp.saturating_add(self.window.leeway) {
            CheckOutcome::Passed
        } else {
            CheckOutcome::Failed
        };
        let skew = if left < 0.0 { format!("{} s ago", -left) } else { format!("{left} s left") };
        row(outcome, format!("exp {}, {skew}", seconds(exp)))
    }
}

/// Reads `@FILE`, `-` or the text itself; white space around it is not part of it.
fn value(argument: &str) -> std::io::Result<String> {
    let text = match (argument, argument.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        (_, Some(file)) => String::from_utf8(read(file)?).map_err(|_| wrong(&format!("{file}: not text")))?,
        (text, None) => text.to_owned(),
    };
    Ok(text.trim().to_owned())
}

/// The bytes of the key set that `--jwks` names.
fn document(source: &str) -> std::io::Result<Vec<u8>> {
    if Scheme::split(source).is_some() {
        let url = Url::parse(source).map_err(|error| wrong(&format!("--jwks: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let proxies = super::proxies().map_err(|error| wrong(&error.to_string()))?;
        let fetched = runtime.block_on(fetch(&url, &proxies));
        return fetched
            .map(|document| document.body.to_vec())
            .map_err(|error| wrong(&format!("--jwks: {error}")));
    }
    read(source.strip_prefix('@').unwrap_or(source))
}

fn read(file: &str) -> std::io::Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Error::new(error.kind(), format!("{file}: {error}")))
}

fn target(url: &str) -> std::io::Result<(Origin, String)> {
    let uri = url.split(['?', '#']).next().unwrap_or_default();
    let error = |error: &dyn std::fmt::Display| wrong(&format!("--url: {error}"));
    let (scheme, rest) =
        Scheme::split(uri).ok_or_else(|| wrong("--url: neither an http nor an https URL"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let origin = Origin::from_authority(scheme, authority).map_err(|e| error(&e))?;
    let path = CanonicalPath::parse(if path.is_empty() { "/" } else { path }).map_err(|e| error(&e))?;
    Ok((origin, path.as_str().to_owned()))
}

fn wrong(text: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

fn print(rows: &[Row], out: &mut impl Write, colour: bool) -> std::io::Result<()> {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    for row in rows {
        let (word, code) = match row.outcome {
            CheckOutcome::Passed => ("passed ", "32"),
            CheckOutcome::Failed => ("failed ", "1;31"),
            CheckOutcome::Skipped => ("skipped", "2"),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        let (label, what) = (&row.label, row.what);
        writeln!(out, "{label:>3}  {what:width$}  {word}  expected  {}", row.expected)?;
        writeln!(out, "{:3}  {:width$}  {:7}  found     {}", "", "", "", row.found)?;
    }
    Ok(())
}

fn closing(rows: &[Row]) -> String {
    let failed = rows.iter().find(|row| row.outcome == CheckOutcome::Failed);
    let skipped = rows.iter().filter(|row| row.outcome == CheckOutcome::Skipped).count();
    match failed {
        Some(row) if row.label.is_empty() => format!("Failed: {}: {}.", row.what, row.found),
        Some(row) => format!("Failed: check {}, {}: {}.", row.label, row.what, row.found),
        None if skipped == 0 => "Every check passed.".to_owned(),
        None => format!("No check failed; {skipped} skipped."),
    }
}

/// A moment in seconds, with its fraction where it has one.
fn seconds(time: UnixTime) -> f64 {
    time.seconds_after(UnixTime::EPOCH)
}

fn system_time(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + time.since(UnixTime::EPOCH)
}

#[cfg(test)]
mod tests;
