//! The output to the letter, for two public proofs and for what can be wrong.

use super::*;
use crate::jose::PrivateKey;

const TOKEN_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Ind4ci0wSUViQ0p1UmVCY093dkhLdGpqTFp3ckZSM3ZwMzVuaHgzU0xSMTgiLCJ5IjoiN3cxdENYZXJMcXhOaURlZUgxVU1HSExaMnZBVEpSVG82bjNkYm1Ldjh2USIsImNydiI6IlAtMjU2In19.eyJqdGkiOiI4Q2s1SDZWMVkzIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vYXV0aC5pZGVudGl0eWNpdGl6ZW4ubG9jYWw6OTAzMS9hcy90b2tlbi5vYXV0aDIiLCJpYXQiOjE3MDgzMzQ2MDl9.nzirDi70IUae9LuNW1pGSlXhQT45ztkE_PVftGHlYTLjN3mjMaHzMX8Pybb8bv6yZFXPZgPjbsYAnoMtMxrtdA";
const USERINFO_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Ind4ci0wSUViQ0p1UmVCY093dkhLdGpqTFp3ckZSM3ZwMzVuaHgzU0xSMTgiLCJ5IjoiN3cxdENYZXJMcXhOaURlZUgxVU1HSExaMnZBVEpSVG82bjNkYm1Ldjh2USIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJHODhHTTkyTzhHIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9hdXRoLmlkZW50aXR5Y2l0aXplbi5sb2NhbDo5MDMxL2lkcC91c2VyaW5mby5vcGVuaWQiLCJpYXQiOjE3MDgzMzQ2MTAsImF0aCI6IklpeW9lM25ZaURxc3EteFhCX1FoU0lVbUdXSkdwVHpVSzVHT1ZFUXpQUG8ifQ.J4H9SaOuxKwW-A_0A-svNGyV_3jDrvsEMWaGx5x3aXTGzS1FDXV4EA_ilJCmCnX3I63mS6_d84-tpQqdUyPBPg";
const TOKEN_URL: &str = "https://auth.identitycitizen.local:9031/as/token.oauth2";
const USERINFO_URL: &str = "https://auth.identitycitizen.local:9031/idp/userinfo.openid";
const NOW: UnixTime = UnixTime::from_secs(1_708_421_010);

pub(super) fn args(proof: &str, method: &str, url: &str, at: Option<f64>) -> ExplainArgs {
    ExplainArgs {
        proof: Some(proof.to_owned()),
        config: None,
        token: None,
        method: method.to_owned(),
        url: url.to_owned(),
        cert: None,
        jwks: None,
        at,
        max_age: 60,
        leeway: 10,
        algorithms: ["ES256", "EdDSA", "PS256"].map(str::to_owned).to_vec(),
    }
}

fn output(args: &ExplainArgs) -> (bool, String) {
    let mut out = Vec::new();
    let passed = explain(args, NOW, &mut out, false).unwrap();
    (passed, String::from_utf8(out).unwrap())
}

#[test]
fn the_output_is_what_it_always_was() {
    let token_request = |at| args(TOKEN_PROOF, "POST", TOKEN_URL, at);
    let userinfo = |at| args(USERINFO_PROOF, "GET", USERINFO_URL, at);
    let opaque = ExplainArgs { token: Some("opaque".to_owned()), ..userinfo(Some(1_708_334_610.0)) };
    let broken = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJcdTAwMWJbMzFtIiwiaHRtIjoxfQ.AA";
    let table = [
        (token_request(Some(1_708_334_609.0)), true, include_str!("token_request.txt")),
        (token_request(None), false, include_str!("token_request_late.txt")),
        (userinfo(Some(1_708_334_610.0)), true, include_str!("userinfo.txt")),
        (userinfo(Some(1_708_334_599.5)), false, include_str!("userinfo_early.txt")),
        (opaque, false, include_str!("opaque_token.txt")),
        (args(broken, "GET", "http://localhost", None), false, include_str!("broken.txt")),
    ];
    for (args, passes, golden) in table {
        let (passed, text) = output(&args);
        assert_eq!(text, golden, "it is now:\n{text}");
        assert_eq!(passed, passes);
    }
}

#[test]
fn only_the_clock_is_against_an_old_public_proof() {
    for (proof, method, url) in [(TOKEN_PROOF, "POST", TOKEN_URL), (USERINFO_PROOF, "GET", USERINFO_URL)] {
        let (passed, text) = output(&args(proof, method, url, None));
        let failed: Vec<&str> = text.lines().filter(|line| line.contains("  failed ")).collect();
        assert_eq!((passed, failed.len()), (false, 1), "{text}");
        assert!(failed[0].starts_with(" 11  iat"), "{text}");
    }
}

/// A token bound to `key`, the proof that goes with it, and the issuer's key set.
fn bound(issuer: &PrivateKey, key: &PrivateKey, exp: i64) -> (String, String, String) {
    let jkt = key.public().thumbprint();
    let token = issuer.sign(
        r#"{"typ":"at+jwt","alg":"ES256","kid":"1"}"#,
        &format!(r#"{{"exp":{exp},"cnf":{{"jkt":"{jkt}"}}}}"#),
    );
    let ath = crate::jose::encode(&sha256(&[token.as_bytes()]));
    let proof = key.sign(
        &format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#, key.public_jwk()),
        &format!(r#"{{"jti":"a","htm":"GET","htu":"{USERINFO_URL}","iat":{},"ath":"{ath}"}}"#, NOW.as_secs()),
    );
    let jwk = issuer.public_jwk().replacen('{', r#"{"kid":"1","#, 1);
    (token, proof, format!(r#"{{"keys":[{jwk}]}}"#))
}

#[test]
fn a_token_is_checked_with_its_proof() {
    let issuer = PrivateKey::generate(Algorithm::Es256).unwrap();
    let [key, thief] = [(); 2].map(|()| PrivateKey::generate(Algorithm::Es256).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (token, proof, keys) = bound(&issuer, &key, NOW.as_secs() + 300);
    let keys = file("keys", &keys);
    let with = |token: &str, proof: &str, jwks: Option<&String>| ExplainArgs {
        token: Some(token.to_owned()),
        jwks: jwks.cloned(),
        ..args(proof, "GET", USERINFO_URL, None)
    };

    let (passed, text) = output(&with(&token, &proof, Some(&keys)));
    assert!(passed && text.contains("exp 1708421310, 300 s left"), "{text}");
    let from_file = format!("@{}", file("token", &format!("{token}\n")));
    let (passed, text) = output(&with(&from_file, &proof, None));
    assert!(passed && text.contains("no --jwks to verify it with"), "{text}");

    let (_, stolen, _) = bound(&issuer, &thief, NOW.as_secs() + 300);
    let (passed, text) = output(&with(&token, &stolen, Some(&keys)));
    assert!(!passed && text.contains("12b  key binding          failed"), "{text}");
    let (expired, proof, _) = bound(&issuer, &key, NOW.as_secs() - 12);
    let (passed, text) = output(&with(&expired, &proof, Some(&keys)));
    assert!(!passed && text.ends_with("Failed: token exp: exp 1708420998, 12 s ago.\n"), "{text}");
    let (forged, proof, _) = bound(&thief, &key, NOW.as_secs() + 300);
    let (passed, text) = output(&with(&forged, &proof, Some(&keys)));
    assert!(!passed && text.ends_with("Failed: token signature: the signature does not verify.\n"), "{text}");
}

#[test]
fn an_argument_that_cannot_be_read_is_an_error_in_words() {
    let good = args(TOKEN_PROOF, "POST", TOKEN_URL, None);
    let table = [
        (ExplainArgs { url: "/as".to_owned(), ..good.clone() }, "--url: neither an http nor an https URL"),
        (
            ExplainArgs { url: "https://a/../b".to_owned(), ..good.clone() },
            "--url: the path has dot segments",
        ),
        (ExplainArgs { method: "A B".to_owned(), ..good.clone() }, "--method: not a method"),
        (ExplainArgs { at: Some(-1.0), ..good.clone() }, "--at: not a time"),
        (
            ExplainArgs { algorithms: vec!["none".to_owned()], ..good.clone() },
            "--algorithms: not an algorithm",
        ),
        (
            ExplainArgs { jwks: Some("http://127.0.0.1:9/jwks".to_owned()), ..good },
            "--jwks: cannot be reached",
        ),
    ];
    for (args, words) in table {
        let error = explain(&args, NOW, &mut Vec::new(), false).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn colour_is_in_the_verdicts_alone() {
    let args = args(TOKEN_PROOF, "POST", TOKEN_URL, None);
    let mut out = Vec::new();
    explain(&args, NOW, &mut out, true).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\x1b[1;31mfailed \x1b[0m"));
    let plain = text.split("\x1b[").map(|part| part.split_once('m').map_or(part, |(_, rest)| rest));
    assert_ne!(plain.collect::<String>().len(), text.len());
}

#[test]
fn the_command_line_is_read_with_its_defaults() {
    let command = <ExplainArgs as clap::Args>::augment_args(clap::Command::new("explain"));
    command.clone().debug_assert();
    let line = ["explain", "--proof", "-", "--method", "GET", "--url", "https://a/b", "--at", "1708334610.5"];
    let matches = command.clone().try_get_matches_from(line).unwrap();
    let args = <ExplainArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
    assert_eq!(
        (args.proof.as_deref(), args.at, args.max_age, args.leeway),
        (Some("-"), Some(1_708_334_610.5), 60, 10)
    );
    assert_eq!(args.algorithms, ["ES256", "EdDSA", "PS256"]);
    let without_token = line.into_iter().chain(["--jwks", "keys.json"]);
    assert!(command.try_get_matches_from(without_token).is_err());
}
