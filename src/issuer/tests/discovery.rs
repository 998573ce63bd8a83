//! Where metadata are, and what is no metadata.

use super::*;

const OAUTH: &str = "/.well-known/oauth-authorization-server/tenant";
const OPENID: &str = "/tenant/.well-known/openid-configuration";
const INSERTED: &str = "/.well-known/openid-configuration/tenant";

/// An issuer `/tenant` that answers so at the three places, with good keys at `/keys`.
async fn tenant(places: [Answer; 3]) -> (Endpoint, House) {
    let endpoint = Endpoint::start().await;
    for (path, answer) in [OAUTH, OPENID, INSERTED].into_iter().zip(places) {
        endpoint.answer(path, answer.at(&endpoint.base));
    }
    endpoint.answer("/keys", ok(&jwks(&["k1"])));
    let issuer = format!("{}/tenant", endpoint.base);
    let house = House::start(&issuer, KeySource::Discovery(endpoint.url("/tenant")), CALM);
    house.keeper.settled().await;
    (endpoint, house)
}

impl Answer {
    /// With `BASE` as the endpoint's own address.
    fn at(self, base: &str) -> Self {
        match self {
            Self::Text(text) => {
                let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
                let (old, new) = (body.len(), body.replace("BASE", base).len());
                let text = text.replace("BASE", base);
                Self::Text(text.replace(&format!("Content-Length: {old}"), &format!("Content-Length: {new}")))
            }
            other @ (Self::Hang | Self::Endless(..) | Self::Later(..) | Self::Drip) => other,
        }
    }
}

fn good() -> Answer {
    ok(r#"{"issuer":"BASE/tenant","jwks_uri":"BASE/keys"}"#)
}

fn missing() -> Answer {
    status("404 Not Found", "", "")
}

/// The first place may be wrong in any way: the next is asked. It was the end of the search where it named another issuer.
#[tokio::test]
async fn what_is_no_use_at_one_place_is_looked_for_at_the_next() {
    let rows = [
        ("not there", missing()),
        ("not allowed", status("403 Forbidden", "", "{}")),
        ("in trouble", status("500 Internal Server Error", "", "")),
        ("a page", ok("<!doctype html>")),
        ("a redirect", status("302 Found", "Location: /login\r\n", "")),
        ("closes", Answer::Text(String::new())),
        ("no HTTP", Answer::Text("SSH-2.0-OpenSSH_9.2\r\n".to_owned())),
        ("hangs", Answer::Hang),
        ("drips", Answer::Drip),
        ("too long", ok(&" ".repeat(MAX_DOCUMENT + 1))),
        ("another issuer's", ok(r#"{"issuer":"BASE","jwks_uri":"BASE/keys"}"#)),
        ("another issuer's by a slash", ok(r#"{"issuer":"BASE/tenant/","jwks_uri":"BASE/keys"}"#)),
        ("nobody's", ok(r#"{"issuer":null,"jwks_uri":"BASE/keys"}"#)),
        ("no keys", ok(r#"{"issuer":"BASE/tenant"}"#)),
        ("keys that are null", ok(r#"{"issuer":"BASE/tenant","jwks_uri":null}"#)),
        ("keys at no URL", ok(r#"{"issuer":"BASE/tenant","jwks_uri":"/keys"}"#)),
        ("keys in a file", ok(r#"{"issuer":"BASE/tenant","jwks_uri":"file:///keys"}"#)),
    ];
    let mut running = JoinSet::new();
    for (story, bad) in rows {
        running.spawn(async move {
            let (endpoint, house) = tenant([bad.clone(), good(), missing()]).await;
            assert!(house.ready(), "{story}: {:?}", house.keeper.missing());
            assert_eq!(endpoint.asked(), [OAUTH, OPENID, "/keys"], "{story}");
            let (endpoint, house) = tenant([missing(), bad, good()]).await;
            assert!(house.ready(), "{story}: {:?}", house.keeper.missing());
            assert_eq!(endpoint.asked(), [OAUTH, OPENID, INSERTED, "/keys"], "{story}");
        });
    }
    while let Some(row) = running.join_next().await {
        row.unwrap();
    }
}

#[tokio::test]
async fn the_first_good_place_is_enough() {
    let (endpoint, house) = tenant([good(), missing(), missing()]).await;
    assert!(house.ready());
    assert_eq!(endpoint.asked(), [OAUTH, "/keys"]);
}

/// Readiness names the issuer, and what was found at each place.
#[tokio::test]
async fn what_was_found_is_told() {
    let other = ok(r#"{"issuer":"https://other.test","jwks_uri":"BASE/keys"}"#);
    let (endpoint, house) = tenant([missing(), ok("<!doctype html>"), other]).await;
    let base = &endpoint.base;
    assert_eq!(
        house.keeper.missing(),
        [format!(
            "main has no keys yet: the issuer's metadata: {base}{OAUTH}: answered 404 Not Found, not 200; \
             {base}{OPENID}: no JSON object; {base}{INSERTED}: names another issuer, \"https://other.test\""
        )]
    );
}
