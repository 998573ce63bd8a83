use super::*;
use crate::names::RouteId;
use crate::route::Choice;

const MINIMAL: &str = "
listeners: [{ name: public, address: 127.0.0.1:0 }]
public_origins: [https://api.example.com]
issuers: [{ name: main, issuer: https://id.example.com, audiences: [https://api.example.com] }]
upstreams: [{ name: api, servers: [http://127.0.0.1:9000] }]
routes: [{ name: all, match: { path: / }, upstream: api }]
";

fn plan(text: &str, environment: Environment<'_>) -> Result<(Plan, Vec<Problem>), Problems> {
    let mut findings = Findings::new("keyproof.yaml".into());
    let now = UnixTime::from_secs(1_700_000_000);
    let plan = plan_text(
        text,
        beginning(&Files::below(Path::new("")), Names::default(), environment, now),
        &mut findings,
    );
    findings.finish(plan)
}

fn beginning<'a>(
    files: &'a Files<'a>,
    names: Names,
    environment: Environment<'a>,
    now: UnixTime,
) -> Circumstances<'a> {
    Circumstances { files, names, environment, now, running: None }
}

fn problems(text: &str) -> String {
    plan(text, &|_| None).map(|_| ()).unwrap_err().to_string()
}

/// A reload that reorders the file, or puts a route before the others, must not give anybody another one's connections or counters.
#[test]
fn a_name_keeps_its_identity_when_the_file_is_read_again() {
    let (before, _) = plan(MINIMAL, &|_| None).unwrap();
    let text =
        MINIMAL.replace("routes: [", "routes: [{ name: first, match: { path: /first }, upstream: api }, ");
    let mut findings = Findings::new("keyproof.yaml".into());
    let files = Files::below(Path::new(""));
    let known = beginning(&files, before.names.clone(), &|_| None, UnixTime::EPOCH);
    let after = plan_text(&text, known, &mut findings).unwrap();
    let ids =
        |plan: &Plan| plan.routes.iter().map(|route| (route.name.clone(), route.id)).collect::<Vec<_>>();
    let all = ("all".to_owned(), before.routes[0].id);
    assert_eq!(ids(&after), [("first".to_owned(), RouteId(1)), all]);
    assert_eq!(after.table.choose(0, "/first", &http::Method::GET), Choice::Route(RouteId(1)));
    assert_eq!(after.table.choose(0, "/", &http::Method::GET), Choice::Route(RouteId(0)));
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let (plan, warnings) = plan(MINIMAL, &|_| None).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(plan.admin.address.to_string(), "127.0.0.1:9901");
    assert!(plan.admin.token.is_none() && plan.admin.hosts.is_empty());
    assert_eq!(plan.window.max_age.as_secs(), 60);
    assert_eq!(plan.window.leeway.as_secs(), 10);
    assert_eq!(plan.nonce_lifetime.as_secs(), 120);
    assert_eq!(plan.nonce_secrets.len(), 0, "the mint makes one that nobody else has");
    assert_eq!((plan.replay.capacity, plan.replay.per_key_limit), (2_000_000, 20_000));
    assert_eq!(plan.replay.on_start, OnStart::Challenge);
    let issuer = &plan.issuers[0];
    assert!(matches!(issuer.keys, KeySource::Discovery(_)));
    assert_eq!(issuer.rules.token_types, ["at+jwt"]);
    assert_eq!(issuer.rules.leeway.as_secs(), 10);
    let route = &plan.routes[0];
    assert_eq!((route.policy.accept.dpop, route.policy.accept.bearer), (true, false));
    assert_eq!(route.authorization, Authorization::Remove);
    let mut headers: Vec<_> =
        route.policy.identity.headers.iter().map(|(name, claim)| format!("{name}={claim}")).collect();
    headers.sort();
    let expected = ["client=client_id", "issuer=iss", "key=cnf.jkt", "scope=scope", "subject=sub"];
    assert_eq!(headers, expected.map(|pair| format!("x-auth-{pair}")));
    assert_eq!(plan.upstreams[0].timeouts.connect.as_secs(), 5);
    assert_eq!(plan.upstreams[0].timeouts.response.as_secs(), 60);
    assert_eq!(plan.effective["dpop"]["algorithms"], serde_json::json!(["ES256", "EdDSA", "PS256"]));
    assert_eq!(plan.effective["routes"][0]["nonce"], "off");
}

/// What `check` passes, `serve` starts with: the proxy for issuers too, although the environment names it.
#[test]
fn a_proxy_that_cannot_be_used_is_a_problem_that_names_its_variable() {
    let with = |name: &'static str, value: &'static str| {
        plan(MINIMAL, &move |asked| (asked == name).then(|| value.to_owned())).map(|(plan, _)| plan.proxies)
    };
    let problems = with("HTTPS_PROXY", "socks5://me:secret@proxy.test").unwrap_err().to_string();
    assert_eq!(
        problems,
        "keyproof.yaml:1:1: file: the environment variable HTTPS_PROXY names a proxy that is neither http nor https; others \
         are not supported; mend or unset it: it is set in the environment, not in the file"
    );
    let proxies = with("https_proxy", "proxy.test:3128").unwrap();
    assert_eq!(proxies.shown().map(ToString::to_string).as_deref(), Some("http://proxy.test:3128/"));
    assert!(plan(MINIMAL, &|_| None).unwrap().0.proxies.shown().is_none());
}

#[test]
fn every_problem_is_found_at_once() {
    let text = MINIMAL
        .replace("upstream: api }", "upstream: apo, nonce: offf, colour: red }")
        .replace("127.0.0.1:0", "here");
    let problems = problems(&text);
    assert_eq!(problems.lines().count(), 4, "{problems}");
}

#[test]
fn a_value_from_the_environment_may_be_a_number_and_is_never_shown() {
    let environment = |name: &str| Some(if name == "CAPACITY" { "1000" } else { "s3cret" }.to_owned());
    let capacity = format!("{MINIMAL}\nreplay: {{ capacity: \"${{CAPACITY}}\", journal: \"${{DIR}}\" }}");
    let (planned, _) = plan(&capacity, &environment).unwrap();
    assert_eq!(planned.replay.capacity, 1000);
    let leaking =
        MINIMAL.replace("127.0.0.1:0", "'${SECRET}'").replace("https://id.example.com", "'${SECRET}'");
    let problems = plan(&leaking, &environment).map(|_| ()).unwrap_err().to_string();
    assert_eq!(problems.lines().count(), 2, "{problems}");
    assert!(!problems.contains("s3cret"), "{problems}");
}

#[test]
fn broken_yaml_has_a_place_and_shows_none_of_the_file() {
    for (text, place) in [
        ("a: [1, 2\nb: s3cret\n", "keyproof.yaml:2"),
        ("a: &x [*x]\n", "keyproof.yaml:1"),
        ("a: *s3cret\n", "keyproof.yaml:1"),
        ("a: 1\n---\nb: 2\n", "keyproof.yaml:"),
        ("a: !!int s3cret\n", "keyproof.yaml:1"),
        ("s3cret: !local 1\n", "keyproof.yaml:1"),
        ("? [a, s3cret]\n: 1\n", "keyproof.yaml:1"),
        ("a: \"s3cret\n", "keyproof.yaml:"),
    ] {
        let problems = problems(text);
        assert!(problems.starts_with(place), "{problems}");
        assert!(problems.contains("mend the YAML"), "{problems}");
        assert!(!problems.contains("s3cret"), "{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn what_is_too_deep_too_large_or_repeats_itself_is_refused() {
    let deep = "[".repeat(40) + &"]".repeat(40);
    let wide = format!("a: [{}]", "1,".repeat(20_001));
    let laughs = "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    for (text, expected) in
        [(deep.as_str(), "32 levels"), (&wide, "20000 values"), (laughs, "aliases that grow")]
    {
        let problems = problems(text);
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn the_effective_configuration_has_every_default_and_no_password() {
    let redis = "replay: { store: redis, redis: { url: 'rediss://user:s3cret@replay:6379/0' } }";
    let (plan, _) = plan(&format!("{MINIMAL}\n{redis}"), &|_| None).unwrap();
    assert!(!format!("{:?}", plan.replay).contains("s3cret"));
    let shown = &plan.effective["replay"]["redis"];
    let expected = serde_json::json!({
        "url": ["rediss://user:***@replay:6379/0"], "timeout": "50ms", "on_failure": "refuse", "assume_noeviction": false,
    });
    assert_eq!(*shown, expected);
    assert!(!plan.effective.to_string().contains("s3cret"));
}
