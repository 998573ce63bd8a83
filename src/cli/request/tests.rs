//! Arguments, what they refuse, and what is printed.

use super::show::shortened;
use super::*;
use clap::{CommandFactory, Parser};

#[derive(clap::Parser, Debug)]
struct Command {
    #[command(flatten)]
    request: RequestArgs,
}

fn parse(arguments: &[&str]) -> Result<RequestArgs, clap::Error> {
    let all = ["request", "GET", "http://127.0.0.1:9/x"].iter().chain(arguments);
    Command::try_parse_from(all).map(|command| command.request)
}

async fn run_with(arguments: &[&str]) -> (String, String, ExitCode) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(parse(arguments).unwrap(), &mut out, &mut err).await;
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), code)
}

#[test]
fn the_arguments_agree_with_each_other() {
    Command::command().debug_assert();
    for good in [
        &["--token", "t"][..],
        &["--issuer", "http://127.0.0.1:1", "--client-id", "me"],
        &["--token-endpoint", "http://127.0.0.1:1/t", "--client-id", "me", "--client-secret", "s"],
        &["--token", "t", "--cert", "a.pem", "--cert-key", "a.key"],
        &["--token", "t", "--bearer", "--repeat", "-iv", "-d", "x", "-H", "a: b", "-H", "a: c"],
    ] {
        parse(good).unwrap();
    }
    for bad in [
        &[][..],
        &["--issuer", "http://127.0.0.1:1"],
        &["--token", "t", "--issuer", "http://127.0.0.1:1", "--client-id", "me"],
        &["--token", "t", "--no-proof", "--proof", "p"],
        &["--token", "t", "--key", "a", "--save-key", "b"],
        &["--token", "t", "--algorithm", "RS256"],
        &["--token", "t", "--cert-key", "a.key"],
        &["--token", "t", "-H", "no colon"],
    ] {
        parse(bad).unwrap_err();
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_used_exit_with_64() {
    for (arguments, told) in [
        (&["--token", "t", "-H", "Host: other"][..], "Host comes from the URL"),
        (&["--token", "t", "--proof-for", "/relative"], "--proof-for: not an absolute"),
        (&["--token", "@/nowhere/token"], "--token: /nowhere/token"),
        (&["--token", "t", "--key", "/nowhere/key"], "--key: /nowhere/key"),
        (&["--token", "t", "--cacert", "/nowhere/ca"], "--cacert: /nowhere/ca"),
        (&["--token", "t", "--cert", "/nowhere/cert"], "--cert: /nowhere/cert"),
    ] {
        let (out, err, code) = run_with(arguments).await;
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(64)), "{arguments:?}");
        assert!(out.is_empty() && err.contains(told), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn a_new_key_is_saved_for_its_owner_alone_and_read_again() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.jwk");
    let arguments =
        parse(&["--token", "t", "--save-key", file.to_str().unwrap(), "--algorithm", "EdDSA"]).unwrap();
    let made = key(&arguments).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let again = parse(&["--token", "t", "--key", file.to_str().unwrap()]).unwrap();
    assert_eq!(key(&again).unwrap().public().thumbprint(), made.public().thumbprint());
    assert!(matches!(key(&arguments), Err(Failure::Usage(_))), "an existing key is never written over");
}

#[test]
fn a_header_of_the_user_replaces_the_one_that_data_brings() {
    let args = parse(&["--token", "t", "-d", "{}", "-H", "Content-Type: application/json"]).unwrap();
    let call = call(&args).unwrap();
    assert_eq!(call.headers.get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["application/json"]);
    assert_eq!(&call.body[..], b"{}");
}

#[test]
fn a_token_is_never_shown_whole() {
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwIn0.c2lnbmF0dXJl";
    assert_eq!(shortened(&format!("DPoP {token}")), "DPoP eyJhbGci…dXJl (53 characters)");
    assert!(!shortened("Bearer short-secret").contains("short"));
}
