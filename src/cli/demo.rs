//! `keyproof demo`: the whole story on loopback, told in 80 columns.

use crate::client::ClientError;
use crate::clock::Clock;
use crate::demo::{Act, CLIENT_ID, CLIENT_SECRET, DemoError, Scene, Stage, Story};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// How wide the story is told.
const WIDTH: usize = 78;

const EXAMPLES: &str = "\
Examples:
  keyproof demo           the story, and then everything stays up for you to try
  keyproof demo --once    the story alone

Exit codes: 0 if every act went as told; 1 otherwise.";

/// See a stolen token fail, with nothing else installed
///
/// Starts an authorization server, a legacy API and the gateway between client and API, all on loopback and
/// on free ports. Sends one good request and five that a thief would send, and shows what becomes of each.
/// Then everything stays up until Ctrl-C, with a line to try by hand.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// Exit after the story
    #[arg(long)]
    once: bool,
}

/// Runs the command: exit code 0 if every act went as told.
pub(super) async fn run(args: DemoArgs, out: &mut impl Write, err: &mut impl Write) -> ExitCode {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match play(&args, &mut Page { out, colour }).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where not even stderr can be written there is nobody left to tell.
            drop(writeln!(err, "keyproof demo: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Why the story broke off.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Stage(#[from] DemoError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

async fn play<O: Write>(args: &DemoArgs, page: &mut Page<'_, O>) -> Result<bool, Failure> {
    let clock = Clock::system();
    let stage = Stage::build(&clock).await?;
    let told = tell(&stage, &clock, page).await;
    if let (Ok(_), false) = (&told, args.once) {
        page.invitation(&stage)?;
        stopped().await;
        writeln!(page.out)?;
    }
    stage.close().await;
    told
}

/// Tells the story; `true` if every act went as told.
async fn tell<O: Write>(stage: &Stage, clock: &Clock, page: &mut Page<'_, O>) -> Result<bool, Failure> {
    let mut story = Story::begin(stage, clock).await?;
    page.cast(stage, &story.thumbprint())?;
    let (mut as_told, mut number) = (0, 0);
    for act in Act::ALL {
        let scene = story.play(act).await?;
        number += 1;
        page.scene(number, &scene)?;
        as_told += usize::from(scene.as_told());
    }
    page.end(as_told, number, stage.reached_upstream())?;
    Ok(as_told == number)
}

/// Ctrl-C, or a polite `kill`.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Where the story is written, in colour or not.
struct Page<'a, O> {
    out: &'a mut O,
    colour: bool,
}

/// The few colours there are.
#[derive(Clone, Copy)]
enum Ink {
    Bold,
    Dim,
    Green,
    Red,
}

impl<O: Write> Page<'_, O> {
    fn cast(&mut self, stage: &Stage, thumbprint: &str) -> std::io::Result<()> {
        let title = self.ink(Ink::Bold, "keyproof demo");
        writeln!(self.out, "\n  {title}: one API, one token, one thief. All of it on loopback.\n")?;
        self.row("issuer", &stage.issuer, "gives out tokens bound to a key")?;
        self.row("gateway", &stage.gateway, "keyproof, TLS in front of the API")?;
        self.row("upstream", &stage.upstream, "an old API, knows no DPoP")?;
        writeln!(self.out)?;
        self.paragraph(2, "The client made a key and got a token. The token names the key:")?;
        writeln!(self.out, "  {}\n", self.ink(Ink::Dim, &format!("cnf.jkt {thumbprint}")))
    }

    fn row(&mut self, name: &str, url: &str, what: &str) -> std::io::Result<()> {
        writeln!(self.out, "  {name:<10}{url:<26}{}", self.ink(Ink::Dim, what))
    }

    fn scene(&mut self, number: usize, scene: &Scene) -> std::io::Result<()> {
        let verdict = match (scene.as_told(), scene.answer.status.is_success()) {
            (true, true) => self.ink(Ink::Green, "✓ passed"),
            (true, false) => self.ink(Ink::Green, "✓ refused"),
            (false, _) => self.ink(Ink::Red, "✗ not as told"),
        };
        let title = scene.act.title();
        // The padding is counted without the colours.
        let gap = " ".repeat(WIDTH.saturating_sub(5 + title.chars().count() + 9));
        writeln!(self.out, "  {number}  {}{gap}{verdict}", self.ink(Ink::Bold, title))?;
        writeln!(self.out, "     sent    {}", scene.act.sent())?;
        self.answer(scene)?;
        writeln!(self.out)?;
        self.paragraph(5, scene.act.why())?;
        if scene.act == Act::Owner {
            self.upstream_saw(scene)?;
        }
        writeln!(self.out)
    }

    fn answer(&mut self, scene: &Scene) -> std::io::Result<()> {
        let status = scene.answer.status;
        let mut told = status.as_u16().to_string();
        match scene.answer.challenge_parameter("error") {
            Some(error) => told.push_str(&format!(" {error}")),
            None => told.push_str(&format!(" {}", status.canonical_reason().unwrap_or_default())),
        }
        let description = scene.answer.challenge_parameter("error_description");
        let whole = description.map_or_else(|| told.clone(), |text| format!("{told}: {text}"));
        let ink = if status.is_success() { Ink::Green } else { Ink::Red };
        for (at, line) in wrapped(&whole, WIDTH.saturating_sub(13)).iter().enumerate() {
            // The code stands at the start of the first line, whatever follows.
            let line = if at == 0 { line.replacen(&told, &self.ink(ink, &told), 1) } else { line.clone() };
            writeln!(self.out, "     {:<8}{line}", if at == 0 { "answer" } else { "" })?;
        }
        if scene.challenged && scene.act == Act::Owner {
            writeln!(self.out)?;
            self.paragraph(
                5,
                "(A gateway that has just started cannot know which proofs were used before. It answered \
                 use_dpop_nonce first, and the client signed again with the nonce by itself.)",
            )?;
        }
        Ok(())
    }

    /// The identity headers, from the upstream's echo.
    fn upstream_saw(&mut self, scene: &Scene) -> std::io::Result<()> {
        let seen: serde_json::Value = serde_json::from_slice(&scene.answer.body).unwrap_or_default();
        let Some(headers) = seen.get("headers").and_then(|headers| headers.as_object()) else {
            return Ok(());
        };
        writeln!(self.out)?;
        for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-auth-")) {
            writeln!(self.out, "       {name:<16}{}", value.as_str().unwrap_or_default())?;
        }
        let left: Vec<_> =
            ["authorization", "dpop"].into_iter().filter(|name| headers.contains_key(*name)).collect();
        if left.is_empty() {
            let text = "Token and proof stay at the gateway.";
            writeln!(self.out, "       {}", self.ink(Ink::Dim, text))?;
        }
        Ok(())
    }

    fn end(&mut self, as_told: usize, acts: usize, reached: usize) -> std::io::Result<()> {
        let ink = if as_told == acts { Ink::Green } else { Ink::Red };
        let verdict = self.ink(ink, &format!("{as_told} of {acts} acts went as told."));
        let times = if reached == 1 { "request" } else { "requests" };
        writeln!(self.out, "  {verdict} {reached} {times} reached the upstream.\n")
    }

    fn invitation(&mut self, stage: &Stage) -> std::io::Result<()> {
        let (url, issuer, cacert) = (stage.url("/orders"), &stage.issuer, stage.cacert.display());
        let title = self.ink(Ink::Bold, "Try it yourself");
        writeln!(self.out, "  {title}, in another terminal:\n")?;
        writeln!(self.out, "  {} request GET {url} -v \\", program())?;
        writeln!(self.out, "    --issuer {issuer} --client-id {CLIENT_ID} \\")?;
        writeln!(self.out, "    --client-secret {CLIENT_SECRET} --cacert {cacert}\n")?;
        let what = "Add --no-proof, --bearer, --repeat or --proof-for URL to be the thief.";
        writeln!(self.out, "  {}\n", self.ink(Ink::Dim, what))?;
        writeln!(self.out, "  metrics        http://{}/metrics", stage.admin)?;
        writeln!(self.out, "  configuration  {}\n", stage.configuration().display())?;
        writeln!(self.out, "  Ctrl-C stops everything.")?;
        self.out.flush()
    }

    fn paragraph(&mut self, indent: usize, text: &str) -> std::io::Result<()> {
        for line in wrapped(text, WIDTH.saturating_sub(indent)) {
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Red => "31",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// How this program was called, so that the line to try can be copied as it is.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "keyproof".to_owned())
}

/// `text` in lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert!(wrapped("", 10).is_empty());
    }

    /// The demo is a promise too: every act ends as it is told, in 80 columns, without colour unless asked.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_act_goes_as_told_and_fits_the_terminal() {
        let (clock, mut out) = (Clock::system(), Vec::new());
        let stage = Stage::build(&clock).await.unwrap();
        let mut page = Page { out: &mut out, colour: false };
        let told = tell(&stage, &clock, &mut page).await.unwrap();
        page.invitation(&stage).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(told, "{text}");
        // How long the names of the program and of the temporary directory are is not ours to say.
        let directory = stage.cacert.parent().unwrap().to_owned();
        let written = directory.to_str().unwrap();
        for line in text.lines().filter(|line| !line.contains(written) && !line.contains(" request GET ")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(directory.join("tls.key").exists());
        stage.close().await;
        assert!(!directory.exists(), "what the demo wrote is gone with it");
        assert!(text.contains("1 request reached the upstream"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains("eyJ"), "{text}");
    }
}
