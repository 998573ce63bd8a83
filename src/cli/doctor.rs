//! `keyproof doctor`: why no `htu` can match behind a proxy, and what to change.

mod answers;
mod fronts;
mod lines;
mod mends;
mod places;
mod sent;
mod show;
mod unseen;

use super::request::header_line;
use super::way::WayArguments;
use crate::client::{Answer, HttpClient};
use crate::clock::{Clock, UnixTime};
use crate::doctor::Sighting;
use crate::headers::{X_KEYPROOF_DOCTOR, is_token68};
use crate::jose::random;
use bytes::Bytes;
use fronts::Front;
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use sent::Sent;
use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit code where no answer to the question can be had.
const CANNOT_ASK: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  Beside the gateway, through the front that clients come by:
    keyproof doctor https://api.example.com/orders

  A front that no DNS names yet, with a certificate of your own CA:
    keyproof doctor https://api.example.com/orders --connect-to ::10.0.0.5:8443 --cacert ca.pem

  From another machine, which has the gateway's admin.token_file too:
    keyproof doctor https://api.example.com/orders --admin http://gw:9901 --token-file secrets/admin

  What a browser would see, and a token's own checks:
    keyproof doctor https://api.example.com/orders -H 'Origin: https://app.example.com'
    keyproof doctor https://api.example.com/orders --key me.jwk --token @token

Exit codes: 0 htu can match; 1 no proof of any client can pass, as it is; 2 cannot ask; 64 usage.";

/// Find out why no proof passes behind a proxy, and what to change
///
/// Sends one marked request through whatever stands in front, asks the gateway at its admin address what came of
/// it, and shows both side by side: method, scheme, authority, path, the headers that were joined, renamed or lost,
/// what of the answer got back, the clocks. Then it says what to change, by the line of the front's configuration.
/// The marked request goes no further than the gateway, which tells what it saw to nobody else.
/// Run it on the gateway's machine, or with --token-file on another: the admin address tells nobody else.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// The URL as clients call it, through whatever stands in front
    url: Uri,
    /// The gateway's admin address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    admin: Uri,
    /// The file that admin.token_file of its configuration names, where it is on another machine
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The method to send; a front that always says GET shows with another one
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// Add a header line; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header_line)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// The front whose configuration is shown; without it the one that the answer looks like, or each
    #[arg(long, value_name = "NAME")]
    front: Option<Front>,
    /// Check this access token too, or @FILE that holds it
    #[arg(long, value_name = "TOKEN", requires = "key")]
    token: Option<String>,
    /// The private key that the token is bound to: a PEM or JWK file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    way: WayArguments,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    cause: Cause,
    /// No proof can pass before this is mended.
    stops: bool,
    /// What is the matter.
    text: String,
}

/// What a finding is about: what mends it goes by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Host,
    Port,
    PrefixStripped,
    PrefixAdded,
    Path,
    Scheme,
    Method,
    Query,
    ProofLost,
    ProofJoined,
    AuthorizationLost,
    NonceLost,
    ChallengeLost,
    ExposedLost,
    DateLost,
    Obeyed,
    Status,
    AskedTwice,
    Untrusted,
    Described,
    Origin,
    Route,
    Token,
    Clock,
}

/// What the gateway says of the mark.
#[derive(Debug, Deserialize)]
struct Told {
    times: u32,
    seen: Option<Sighting>,
}

/// Why there is no answer to the question.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    CannotAsk(String),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Everything there is to go by.
#[derive(Debug)]
struct Case {
    sent: Sent,
    answer: Answer,
    /// The moment between sending and the answer, by the clock here.
    between: UnixTime,
    sighting: Sighting,
    times: u32,
}

/// Runs the command.
pub(super) async fn run(args: DoctorArgs, out: &mut impl Write, err: &mut impl Write) -> ExitCode {
    let failure = match examine(&args, out).await {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => return ExitCode::FAILURE,
        Err(failure) => failure,
    };
    // Where not even stderr can be written there is nobody left to tell.
    drop(writeln!(err, "keyproof doctor: {failure}"));
    match failure {
        Failure::Usage(_) => ExitCode::from(super::USAGE),
        Failure::CannotAsk(_) | Failure::Output(_) => ExitCode::from(CANNOT_ASK),
    }
}

/// The whole examination; `true` if `htu` can match.
async fn examine(args: &DoctorArgs, out: &mut impl Write) -> Result<bool, Failure> {
    let clock = Clock::system();
    let mark: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    let (sent, request) = Sent::prepare(args, &mark, clock.now())?;
    let front = args.way.client().map_err(|error| Failure::Usage(error.to_string()))?;
    let admin = Admin::new(args)?;
    admin.register(&mark).await?;
    let begun = clock.now();
    let answered = front.send(request).await;
    let between = UnixTime::from_millis(begun.as_millis().midpoint(clock.now().as_millis()));
    let told = admin.told(&mark).await?;
    match (answered, told.seen) {
        (Ok(answer), Some(sighting)) => {
            let case = Case { sent, answer, between, sighting, times: told.times };
            let findings = findings(&case, args.token.is_some());
            show::case(out, &case, &findings, args.front)?;
            Ok(places::htu_matches(&case.sent, &case.sighting)
                && !findings.iter().any(|finding| finding.stops))
        }
        (Ok(answer), None) => Err(Failure::CannotAsk(unseen::answered(&answer))),
        (Err(error), None) => Err(Failure::CannotAsk(unseen::unanswered(&error))),
        (Err(error), Some(_)) => Err(Failure::CannotAsk(format!(
            "the gateway was asked and has answered, but the answer did not get back: {error}"
        ))),
    }
}

/// Everything that is wrong, what stops proofs first.
fn findings(case: &Case, has_token: bool) -> Vec<Finding> {
    let mut found = places::findings(&case.sent, &case.sighting);
    found.extend(lines::findings(&case.sent, &case.sighting));
    found.extend(answers::findings(case));
    let verdict = case.sighting.verdict.as_ref();
    if let Some(verdict) = verdict.filter(|verdict| has_token && !verdict.passed)
        && found.iter().all(|finding| !finding.stops)
    {
        let stops = verdict.reason != "nonce_missing";
        let text = format!("the token would be refused: {} ({})", verdict.text, verdict.reason);
        found.extend(stops.then_some(Finding { cause: Cause::Token, stops, text }));
    }
    found.sort_by_key(|finding| !finding.stops);
    found
}

/// The token in a file, as `Authorization` has it.
fn bearer(file: &Path) -> Result<HeaderValue, Failure> {
    let unusable = |why: String| Failure::Usage(format!("--token-file: {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    let text = text.trim_ascii();
    let value = HeaderValue::try_from(format!("Bearer {text}")).ok().filter(|_| is_token68(text));
    let mut value = value.ok_or_else(|| unusable("it holds no token".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The gateway's admin address.
struct Admin<'a> {
    http: HttpClient,
    at: &'a Uri,
    /// What lets us in from another machine.
    authorization: Option<HeaderValue>,
}

impl<'a> Admin<'a> {
    fn new(DoctorArgs { admin: at, token_file, .. }: &'a DoctorArgs) -> Result<Self, Failure> {
        if at.scheme_str() != Some("http") || at.authority().is_none() {
            return Err(Failure::Usage("--admin: write http://ADDRESS:PORT".to_owned()));
        }
        let http = HttpClient::plain().map_err(|error| Failure::Usage(error.to_string()))?;
        let authorization = token_file.as_deref().map(bearer).transpose()?;
        Ok(Self { http, at, authorization })
    }

    async fn register(&self, mark: &str) -> Result<(), Failure> {
        let answer = self.send(Method::POST, None, mark.to_owned()).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&answer.body);
        let why = match answer.status {
            StatusCode::NOT_FOUND => {
                "it answers /doctor to its own machine, and to who brings the token of its admin.token_file: run keyproof doctor there, or with --token-file; or it is an older keyproof"
            }
            StatusCode::TOO_MANY_REQUESTS => "16 marks are on their way: try again in a minute",
            _ => said.trim(),
        };
        Err(self.cannot_ask(&format!("it answered {}: {why}", answer.status.as_u16())))
    }

    async fn told(&self, mark: &str) -> Result<Told, Failure> {
        let answer = self.send(Method::GET, Some(mark), String::new()).await?;
        serde_json::from_slice(&answer.body).map_err(|_| {
            self.cannot_ask(&format!("it answered {} to what came with the mark", answer.status.as_u16()))
        })
    }

    async fn send(&self, method: Method, mark: Option<&str>, body: String) -> Result<Answer, Failure> {
        let mut parts = self.at.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/doctor"));
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        if let Some(mark) = mark.and_then(|mark| HeaderValue::from_str(mark).ok()) {
            request.headers_mut().insert(X_KEYPROOF_DOCTOR, mark);
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let answered = self.http.send(request).await;
        answered.map_err(|error| {
            let help =
                "is the gateway running, and is that its admin address (admin.address in its configuration)?";
            self.cannot_ask(&format!("{error}; {help}"))
        })
    }

    fn cannot_ask(&self, why: &str) -> Failure {
        Failure::CannotAsk(format!("the admin address {}: {why}", self.at))
    }
}
