//! `keyproof request`: curl for APIs that want DPoP.

mod show;

use super::way::{CertificateArguments, WayArguments, WayError};
use crate::client::token::{self, ClientCredentials, TokenEndpoint};
use crate::client::{Call, ClientError, Credentials, HttpClient, Proof, Sent, exchange, proof, repeat};
use crate::clock::Clock;
use crate::headers::AuthScheme;
use crate::jose::json::{Limits, Object, Value};
use crate::jose::{Algorithm, CompactJws, KeyFileError, PrivateKey};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use show::Shown;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit code for arguments that cannot be used (`EX_USAGE`).
const USAGE: u8 = 64;

/// Send one request with a DPoP proof, and print the answer
///
/// Makes a key, or takes yours; gets a token that is bound to it, or takes yours; signs the proof; follows
/// one use_dpop_nonce challenge. The options at the end send what a thief would send, so that you can see
/// it refused.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RequestArgs {
    /// The method, as GET or POST
    method: Method,
    /// The URL, sent as you write it
    url: Uri,

    /// The private key: a PEM (PKCS #8 or SEC 1) or JWK file. Without it a new key is made
    #[arg(long, value_name = "FILE", help_heading = "Key")]
    key: Option<PathBuf>,
    /// Write the new key to FILE as a JWK that only you may read; an existing file stays as it is
    #[arg(long, value_name = "FILE", help_heading = "Key", conflicts_with = "key")]
    save_key: Option<PathBuf>,
    /// What the new key signs with: ES256, ES384 or EdDSA
    #[arg(long, value_name = "NAME", help_heading = "Key", default_value = "ES256", conflicts_with = "key",
          value_parser = new_key_algorithm)]
    algorithm: Algorithm,

    /// The access token, or @FILE that holds it; it must be bound to --key
    #[arg(long, value_name = "TOKEN", help_heading = "Token", conflicts_with_all = ["issuer", "token_endpoint"],
          required_unless_present_any = ["issuer", "token_endpoint"])]
    token: Option<String>,
    /// Get a token here by client credentials; the endpoint is discovered (RFC 8414, then OpenID)
    #[arg(long, value_name = "URL", help_heading = "Token", requires = "client_id")]
    issuer: Option<String>,
    /// Get a token here by client credentials, without discovery
    #[arg(long, value_name = "URL", help_heading = "Token", requires = "client_id")]
    token_endpoint: Option<Uri>,
    /// Who you are at the authorization server
    #[arg(long, value_name = "ID", help_heading = "Token")]
    client_id: Option<String>,
    /// The client's secret. Other users of this machine can see it among the processes: prefer the file
    #[arg(long, value_name = "SECRET", help_heading = "Token", conflicts_with = "client_secret_file")]
    client_secret: Option<String>,
    /// A file that holds the client's secret
    #[arg(long, value_name = "FILE", help_heading = "Token")]
    client_secret_file: Option<PathBuf>,
    /// The scope to ask for, as "orders:read orders:write"
    #[arg(long, value_name = "SCOPE", help_heading = "Token")]
    scope: Option<String>,
    /// The API that the token is for (RFC 8707); may be repeated
    #[arg(long, value_name = "URL", help_heading = "Token")]
    resource: Vec<String>,

    /// Send this body, or @FILE's; form-encoded unless -H says otherwise
    #[arg(short, long, value_name = "DATA", help_heading = "Request")]
    data: Option<String>,
    /// Add a header line; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", help_heading = "Request", value_parser = header_line)]
    header: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    way: WayArguments,
    #[command(flatten)]
    own: CertificateArguments,

    /// Print the status line and the header lines too
    #[arg(short, long, help_heading = "Output")]
    include: bool,
    /// Say on stderr what was sent, what the proof says and what came back; the token is shortened
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,

    /// Sign the proof for this URL instead of the request's
    #[arg(long, value_name = "URL", help_heading = "What a thief would send")]
    proof_for: Option<Uri>,
    /// Send this proof, or @FILE's, instead of a fresh one
    #[arg(long, value_name = "TEXT", help_heading = "What a thief would send", conflicts_with = "proof_for")]
    proof: Option<String>,
    /// Send no proof at all
    #[arg(long, help_heading = "What a thief would send", conflicts_with_all = ["proof", "proof_for"])]
    no_proof: bool,
    /// Present the token as Bearer, without a proof unless --proof or --proof-for is given; with --cert ask for one without a proof, too.
    /// (A JWT that is bound to a certificate alone is always presented so)
    #[arg(long, help_heading = "What a thief would send")]
    bearer: bool,
    /// Send the very same request again, proof included, and print that answer too
    #[arg(long, help_heading = "What a thief would send")]
    repeat: bool,
}

const EXAMPLES: &str = "\
Examples:
  A token by client credentials, then the call:
    keyproof request GET https://api.example.com/orders --issuer https://id.example.com \\
      --client-id me --client-secret-file secret --resource https://api.example.com

  The same key every time, and everything that happens:
    keyproof request GET https://api.example.com/orders --key me.jwk --token @token -v

  A stolen token without its key, and a replayed proof:
    keyproof request GET https://api.example.com/orders --token @token --no-proof -i
    keyproof request GET https://api.example.com/orders --key me.jwk --token @token --repeat -i

Exit codes: 0 if the last answer is 2xx; 1 if it is not, or none came; 64 usage.";

/// Runs the command: the answer on `out`, everything about it on `err`.
pub(super) async fn run(args: RequestArgs, out: &mut impl Write, err: &mut impl Write) -> ExitCode {
    match answer(&args, out, err).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            // Where not even stderr can be written there is nobody left to tell.
            drop(writeln!(err, "keyproof request: {failure}"));
            match failure {
                Failure::Usage(_) => ExitCode::from(USAGE),
                Failure::Client(_) | Failure::Output(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// The whole command; `true` if the last answer was a success.
async fn answer(args: &RequestArgs, out: &mut impl Write, err: &mut impl Write) -> Result<bool, Failure> {
    let clock = Clock::system();
    let call = call(args)?;
    let http = args.way.client_with(&args.own).map_err(|error| match error {
        WayError::Client(error) => Failure::Client(error),
        WayError::Roots(_)
        | WayError::Certificate(_)
        | WayError::CertificateKey(_)
        | WayError::Proxies(_) => Failure::Usage(error.to_string()),
    })?;
    let mut shown = Shown { include: args.include, verbose: args.verbose, out, err };
    let key = key(args)?;
    shown.key(&key)?;
    let token = match &args.token {
        Some(token) => text_or_file("--token", token)?,
        None => {
            let (endpoint, token) = fetch_token(args, &http, &key, &clock).await?;
            shown.token(&endpoint, &token)?;
            token.access_token
        }
    };
    let given = args.proof.as_ref().map(|text| text_or_file("--proof", text)).transpose()?;
    let htu = proof::htu(args.proof_for.as_ref().unwrap_or(&call.uri));
    let bearer = args.bearer || is_bound_to_certificate_alone(&token);
    let fresh = !args.no_proof && (!bearer || args.proof_for.is_some());
    let proof = match &given {
        Some(text) => Proof::Given(text),
        None if fresh => Proof::Fresh { key: &key, htu: &htu },
        None => Proof::None,
    };
    let scheme = if bearer { AuthScheme::Bearer } else { AuthScheme::Dpop };
    let mut sent = exchange(&http, &call, &Credentials { scheme, token: &token, proof }, &clock).await?;
    if args.repeat
        && let Some(last) = sent.last()
    {
        sent.push(repeat(&http, &call, last).await?);
    }
    print(&mut shown, &call, &sent, args.repeat)
}

/// Every attempt is told on stderr; the answer is printed, and with `--repeat` the one before it too.
fn print<O: Write, E: Write>(
    shown: &mut Shown<'_, O, E>,
    call: &Call,
    sent: &[Sent],
    repeated: bool,
) -> Result<bool, Failure> {
    let printed_from = sent.len().saturating_sub(if repeated { 2 } else { 1 });
    for (at, attempt) in sent.iter().enumerate() {
        shown.attempt(call, attempt)?;
        if at >= printed_from {
            shown.answer(&attempt.answer)?;
        } else {
            shown.challenge_followed(&attempt.answer)?;
        }
    }
    Ok(sent.last().is_some_and(|last| last.answer.status.is_success()))
}

fn call(args: &RequestArgs) -> Result<Call, Failure> {
    let uri = absolute("URL", &args.url)?;
    for (flag, other) in [("--token-endpoint", &args.token_endpoint), ("--proof-for", &args.proof_for)] {
        other.as_ref().map(|uri| absolute(flag, uri)).transpose()?;
    }
    let mut headers = HeaderMap::new();
    let body = match &args.data {
        None => Bytes::new(),
        Some(data) => {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
            bytes_or_file("--data", data)?
        }
    };
    for (name, _) in &args.header {
        headers.remove(name);
    }
    for (name, value) in &args.header {
        if *name == HOST {
            return Err(Failure::Usage("--header: Host comes from the URL".to_owned()));
        }
        headers.append(name.clone(), value.clone());
    }
    Ok(Call { method: args.method.clone(), uri, headers, body })
}

fn absolute(what: &str, uri: &Uri) -> Result<Uri, Failure> {
    let usage = |text: &str| Err(Failure::Usage(format!("{what}: {text}")));
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            usage("user information is not allowed")
        }
        (Some("http" | "https"), Some(_)) => Ok(uri.clone()),
        (_, _) => usage("not an absolute http or https URL"),
    }
}

fn key(args: &RequestArgs) -> Result<PrivateKey, Failure> {
    if let Some(file) = &args.key {
        let text = utf8("--key", read("--key", file)?)?;
        return PrivateKey::read(&text)
            .map_err(|e: KeyFileError| Failure::Usage(format!("--key {}: {e}", file.display())));
    }
    let Some(key) = PrivateKey::generate(args.algorithm) else {
        return Err(Failure::Usage("--algorithm: a new key is one of ES256, ES384, EdDSA".to_owned()));
    };
    if let Some(file) = &args.save_key {
        save(file, &key).map_err(|e| Failure::Usage(format!("--save-key {}: {e}", file.display())))?;
    }
    Ok(key)
}

/// Writes the key so that only its owner can read it, and never over another one.
fn save(file: &Path, key: &PrivateKey) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{}", key.private_jwk())
}

async fn fetch_token(
    args: &RequestArgs,
    http: &HttpClient,
    key: &PrivateKey,
    clock: &Clock,
) -> Result<(TokenEndpoint, token::Token), Failure> {
    let client_secret = match (&args.client_secret, &args.client_secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(file)) => {
            let text = utf8("--client-secret-file", read("--client-secret-file", file)?)?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => None,
    };
    let credentials = ClientCredentials {
        client_id: args.client_id.clone().unwrap_or_default(),
        client_secret,
        scope: args.scope.clone(),
        resources: args.resource.clone(),
    };
    let endpoint = match (&args.token_endpoint, &args.issuer) {
        (Some(uri), _) => TokenEndpoint { uri: uri.clone(), secret_in_body: false },
        (None, Some(issuer)) => token::discover(http, issuer).await?,
        (None, None) => return Err(Failure::Usage("no token: give --token or --issuer".to_owned())),
    };
    // Who means to send a Bearer token with a certificate wants one that the certificate binds.
    let key = (!(args.own.is_given() && args.bearer)).then_some(key);
    let token = token::fetch(http, &endpoint, &credentials, key, clock).await?;
    Ok((endpoint, token))
}

/// Whether a JWT says that a certificate binds it, and no key: such tokens are sent as Bearer tokens (RFC 8705 section 3).
fn is_bound_to_certificate_alone(token: &str) -> bool {
    let Ok(jws) = CompactJws::split(token) else { return false };
    let Ok(claims) = Object::parse(&jws.payload, Limits::TOKEN) else { return false };
    let cnf = claims.get("cnf").and_then(Value::as_object);
    cnf.is_some_and(|cnf| cnf.get("x5t#S256").is_some() && cnf.get("jkt").is_none())
}

fn new_key_algorithm(name: &str) -> Result<Algorithm, String> {
    match Algorithm::from_name(name) {
        Some(algorithm @ (Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa)) => Ok(algorithm),
        _ => Err("a new key is one of ES256, ES384, EdDSA".to_owned()),
    }
}

pub(super) fn header_line(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or("a header line is \"Name: value\"")?;
    let name = name.trim().parse().map_err(|_| "not a header name".to_owned())?;
    let value = value.trim().parse().map_err(|_| "not a header value".to_owned())?;
    Ok((name, value))
}

/// An argument's text, or with `@FILE` the file's, without the line's end.
pub(super) fn text_or_file(flag: &str, argument: &str) -> Result<String, Failure> {
    match argument.strip_prefix('@') {
        None => Ok(argument.to_owned()),
        Some(file) => Ok(utf8(flag, read(flag, Path::new(file))?)?.trim().to_owned()),
    }
}

/// An argument's bytes, or with `@FILE` the file's, all of them.
fn bytes_or_file(flag: &str, argument: &str) -> Result<Bytes, Failure> {
    match argument.strip_prefix('@') {
        None => Ok(Bytes::copy_from_slice(argument.as_bytes())),
        Some(file) => Ok(Bytes::from(read(flag, Path::new(file))?)),
    }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|e| Failure::Usage(format!("{flag}: {}: {e}", file.display())))
}

fn utf8(flag: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{flag}: the file is not text")))
}

#[cfg(test)]
mod tests;
