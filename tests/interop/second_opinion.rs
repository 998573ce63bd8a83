//! A second opinion: the same thousand requests to the gateway and to another resource server, good ones and ones with something wrong.
//!
//! Where the two do not agree, [`differences`] says which of them is wrong, and by which clause. A difference that is not there fails, and so does a
//! line there that nothing shows any more. Where both refuse for one reason, they give it the same name.

mod changes;
mod differences;

use crate::node::Node;
use changes::{ABSENT, Change, Draft, REQUESTS, Signer, drawn, unique};
use differences::{EXPRESS, HUSKARL, Opinions, Taken};
use keyproof::jose::{Algorithm, PrivateKey, encode, sha256};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::gateway::{HOST, House, NOW};
use support::raw::Raw;

const ROUTES: &str = "  - { name: orders, match: { path: /orders }, upstream: legacy }";

/// Both servers, and whose keys there are.
struct Both {
    house: House,
    theirs: SocketAddr,
    thief: PrivateKey,
    edwards: PrivateKey,
    server: Child,
}

impl Drop for Both {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Both {
    /// The gateway, and the other server, which this starts with what it has to know.
    async fn start(begin: impl FnOnce(&Value) -> Child) -> Self {
        let house = House::with_routes(ROUTES).await;
        let mut jwk: Value = serde_json::from_str(&house.issuer.public_jwk()).unwrap();
        jwk["kid"] = json!("one");
        let argument = json!({
            "issuer": "https://id.test", "audience": "https://api.test", "now": NOW.as_secs(), "jwk": jwk,
        });
        let mut server = begin(&argument);
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let theirs = told["address"].as_str().unwrap().parse().unwrap();
        let key = |algorithm| PrivateKey::generate(algorithm).unwrap();
        Self { house, theirs, thief: key(Algorithm::Es256), edwards: key(Algorithm::EdDsa), server }
    }

    fn key(&self, signer: Signer) -> &PrivateKey {
        match signer {
            Signer::Client => &self.house.client,
            Signer::Thief => &self.thief,
            Signer::Edwards => &self.edwards,
        }
    }

    /// The bytes of a good request with these changes.
    fn request(&self, changes: &[&Change]) -> (String, bool) {
        let mut draft = Draft {
            token_header: Map::new(),
            token_claims: Map::new(),
            proof_header: Map::new(),
            proof_claims: Map::new(),
            cnf: |jkt| json!({ "jkt": jkt }),
            scheme: "DPoP",
            target: "/orders".to_owned(),
            method: "GET",
            signs: Signer::Client,
            is_private: false,
            lines: |_| {},
            spoilt: Vec::new(),
            is_sent_twice: false,
        };
        for (_, change) in changes {
            change(&mut draft);
        }
        let (now, key) = (NOW.as_secs(), self.key(draft.signs));
        let bound = if draft.signs == Signer::Edwards { key } else { &self.house.client };
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "one" });
        let claims = json!({
            "iss": "https://id.test", "aud": "https://api.test", "sub": "alice", "client_id": "shop", "iat": now - 10, "exp": now + 300,
            "jti": unique(), "scope": "orders:read", "cnf": (draft.cnf)(&bound.public().thumbprint().to_string()),
        });
        let token = self
            .house
            .issuer
            .sign(&changed(&header, draft.token_header), &changed(&claims, draft.token_claims));
        let token = if draft.spoilt.contains(&"token") { spoilt(&token) } else { token };
        let mut jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
        if draft.is_private {
            jwk["d"] = json!("AAAA");
        }
        let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk });
        let path = draft.target.split('?').next().unwrap();
        let claims = json!({
            "jti": unique(), "htm": draft.method, "htu": format!("https://{HOST}{path}"), "iat": now,
            "ath": encode(&sha256(&[token.as_bytes()])),
        });
        let proof = key.sign(&changed(&header, draft.proof_header), &changed(&claims, draft.proof_claims));
        let proof = if draft.spoilt.contains(&"proof") { spoilt(&proof) } else { proof };
        let mut lines = vec![("authorization", format!("{} {token}", draft.scheme)), ("dpop", proof)];
        (draft.lines)(&mut lines);
        // Theirs stands behind a proxy that ends TLS; ours knows its origin by itself.
        lines.push(("x-forwarded-proto", "https".to_owned()));
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        (support::gateway::request(draft.method, &draft.target, &lines), draft.is_sent_twice)
    }

    /// What both say to the same bytes.
    async fn ask(&self, request: &str, twice: bool) -> [Verdict; 2] {
        let mut verdicts = Vec::new();
        for server in [self.house.gateway, self.theirs] {
            if twice {
                Verdict::of(server, request).await;
            }
            verdicts.push(Verdict::of(server, request).await);
        }
        verdicts.try_into().unwrap()
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    status: u16,
    challenges: Vec<String>,
}

impl Verdict {
    async fn of(server: SocketAddr, request: &str) -> Self {
        let mut connection = Raw::connect(server).await;
        connection.send(request).await;
        let answer = connection.answer().await.expect("an answer");
        let challenges = answer.all("www-authenticate").into_iter().map(str::to_owned).collect();
        Self { status: answer.status, challenges }
    }

    fn error(&self) -> Option<&str> {
        self.challenges.iter().find_map(|challenge| challenge.split("error=\"").nth(1)?.split('"').next())
    }

    fn is_taken(&self) -> bool {
        self.status == 200
    }
}

fn changed(base: &Value, changes: Map<String, Value>) -> String {
    let mut all = base.as_object().unwrap().clone();
    all.extend(changes);
    all.retain(|_, value| *value != ABSENT);
    Value::Object(all).to_string()
}

/// With another letter in the middle of its signature.
fn spoilt(jws: &str) -> String {
    let middle = jws.rfind('.').unwrap() + 20;
    let other = if &jws[middle..=middle] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &jws[..middle], &jws[middle + 1..])
}

/// That both say the same to every request, or that it is known why not.
async fn agree(both: &Both, opinions: &Opinions) {
    let (mut unexplained, mut shown, mut taken) = (Vec::new(), BTreeSet::new(), 0);
    for changes in drawn() {
        let (request, twice) = both.request(&changes);
        let [ours, theirs] = both.ask(&request, twice).await;
        let names: Vec<_> = changes.iter().map(|(name, _)| *name).collect();
        if names.is_empty() {
            assert!(ours.is_taken() && theirs.is_taken(), "a good request: {ours:?} {theirs:?}");
        }
        taken += usize::from(ours.is_taken());
        let who = match (ours.is_taken(), theirs.is_taken()) {
            (false, false) => {
                if let ([name], Some(own), Some(other)) = (&names[..], ours.error(), theirs.error())
                    && own != other
                    && !opinions.other_names.iter().any(|(known, _)| known == name)
                {
                    unexplained.push(format!("{name}: {own}, and they say {other}"));
                }
                continue;
            }
            (true, true) => continue,
            (true, false) => Taken::ByUsAlone,
            (false, true) => Taken::ByThemAlone,
        };
        let known =
            opinions.differences.iter().filter(|(name, taken, _)| names.contains(name) && *taken == who);
        let known: Vec<_> = known.map(|(name, ..)| *name).collect();
        if known.is_empty() {
            unexplained.push(format!("{names:?}: {who:?}\n  ours {ours:?}\n  theirs {theirs:?}"));
        }
        shown.extend(known);
    }
    assert!(unexplained.is_empty(), "{} of {REQUESTS}:\n{}", unexplained.len(), unexplained.join("\n"));
    let unshown: Vec<_> =
        opinions.differences.iter().map(|(name, ..)| *name).filter(|name| !shown.contains(name)).collect();
    assert!(unshown.is_empty(), "they agree about {unshown:?} now");
    assert!((200..800).contains(&taken), "{taken} of {REQUESTS} were good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_resource_server_agrees_or_it_is_known_who_is_wrong() {
    let Some(node) = Node::find() else { return };
    let both = Both::start(|argument| node.start("resource-server.mjs", argument)).await;
    agree(&both, &EXPRESS).await;
}

/// One more, of crates that the gateway is not built with: for who asks (`KEYPROOF_HUSKARL=1`), since it is built first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huskarl_agrees_or_it_is_known_who_is_wrong() {
    if std::env::var_os("KEYPROOF_HUSKARL").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/huskarl");
    let built = Command::new(env!("CARGO")).arg("build").current_dir(&folder).status().unwrap();
    assert!(built.success(), "tests/interop/huskarl is not built");
    let program = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("target"), PathBuf::from);
    let program = program.join("debug/keyproof-second-opinion");
    let begin = |argument: &Value| {
        let mut command = Command::new(&program);
        command.arg(argument.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    agree(&Both::start(begin).await, &HUSKARL).await;
}
