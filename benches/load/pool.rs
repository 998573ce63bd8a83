//! Clients, their tokens, and the proofs signed ahead.

use crate::arguments::{Auth, RunArguments};
use crate::mix::{Kind, Mix, Random, Zipf};
use crate::scenery::{AUDIENCE, ISSUER, KEY_ID};
use http::Method;
use keyproof::client::proof::{NewProof, sign};
use keyproof::clock::Clock;
use keyproof::jose::{Algorithm, PrivateKey};
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;

/// How many clients also send bad requests.
const BAD_CLIENTS: usize = 1_000;

/// Everything there is to send.
#[derive(Debug)]
pub(crate) struct Pool {
    clients: Vec<Client>,
    bad: Vec<Bad>,
    /// All proofs in one piece: millions of small ones would be slow to make and to drop.
    text: String,
    proofs: Vec<(usize, Range<usize>)>,
    next: Cell<usize>,
    random: RefCell<Random>,
    mix: Mix,
    auth: Auth,
    reuse: bool,
    visits: usize,
}

/// A client: what it sends every time.
#[derive(Debug)]
struct Client {
    key: PrivateKey,
    token: String,
    authorization: String,
}

/// What a client, or a thief, sends that must be refused.
#[derive(Debug)]
struct Bad {
    authorization: String,
    forged_authorization: String,
    used: String,
    forged: String,
    elsewhere: String,
}

/// A request's credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot<'a> {
    pub(crate) kind: Kind,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) proof: Option<&'a str>,
}

impl Pool {
    /// Makes keys and tokens; signs nothing that ages yet.
    pub(crate) fn new(arguments: &RunArguments, issuer: &PrivateKey) -> io::Result<Self> {
        let count = arguments.clients.max(1);
        let client = |_| Client::new(issuer, arguments.auth).ok_or(io::Error::other("no key can be made"));
        Ok(Self {
            clients: (0..count).map(client).collect::<io::Result<_>>()?,
            bad: Vec::new(),
            text: String::new(),
            proofs: Vec::new(),
            next: Cell::new(0),
            random: RefCell::new(Random::new()),
            mix: arguments.mix.clone(),
            auth: arguments.auth,
            reuse: arguments.reuse,
            visits: 0,
        })
    }

    /// Signs the proofs: they live for a minute from now.
    pub(crate) fn sign(&mut self, arguments: &RunArguments) {
        let clock = Clock::system();
        let zipf = Zipf::new(self.clients.len(), arguments.zipf);
        let htu = format!("{}{}", arguments.origin, arguments.path);
        let visits = if arguments.visit { self.clients.len() } else { 0 };
        let size = visits + arguments.pool_size();
        self.text.reserve(size * 480);
        self.visits = visits;
        for number in 0..size {
            let place = if number < visits { number } else { zipf.pick(self.random.get_mut()) };
            let start = self.text.len();
            self.text.push_str(&self.clients[place].proof(&htu, &clock));
            self.proofs.push((place, start..self.text.len()));
        }
        if self.mix.has_bad() {
            let bad = |client: &Client| client.bad(&htu, &clock);
            self.bad = self.clients.iter().take(BAD_CLIENTS).map(bad).collect();
        }
    }

    /// Whether some clients have not sent their first request yet.
    pub(crate) fn is_visiting(&self) -> bool {
        self.next.get() < self.visits
    }

    /// How many proofs were signed.
    pub(crate) fn size(&self) -> usize {
        self.proofs.len()
    }

    /// The next request; none when the proofs are used up.
    pub(crate) fn shot(&self) -> Option<Shot<'_>> {
        let mut random = self.random.borrow_mut();
        let kind = self.mix.pick(&mut random);
        if kind == Kind::Good {
            return self.good(&mut random);
        }
        let bad = &self.bad[(random.fraction() * self.bad.len() as f64) as usize % self.bad.len()];
        let (authorization, proof) = match kind {
            Kind::Replay | Kind::Good => (Some(&bad.authorization), Some(&bad.used)),
            Kind::BadProof => (Some(&bad.authorization), Some(&bad.forged)),
            Kind::WrongClaims => (Some(&bad.authorization), Some(&bad.elsewhere)),
            Kind::BadToken => (Some(&bad.forged_authorization), Some(&bad.used)),
            Kind::NoToken => (None, None),
        };
        Some(Shot {
            kind,
            authorization: authorization.map(String::as_str),
            proof: proof.map(String::as_str),
        })
    }

    /// The requests whose proofs the mix sends again later: each is sent once before anything counts.
    pub(crate) fn first_uses(&self) -> impl Iterator<Item = Shot<'_>> {
        self.bad.iter().map(|bad| Shot {
            kind: Kind::Good,
            authorization: Some(&bad.authorization),
            proof: Some(&bad.used),
        })
    }

    fn good(&self, random: &mut Random) -> Option<Shot<'_>> {
        let (authorization, proof) = match self.auth {
            Auth::None => (None, None),
            Auth::Bearer => {
                let place = (random.fraction() * self.clients.len() as f64) as usize;
                (Some(self.clients[place].authorization.as_str()), None)
            }
            Auth::Dpop => {
                if self.reuse && self.next.get() == self.proofs.len() {
                    self.next.set(0);
                }
                let (place, proof) = self.proofs.get(self.next.get())?;
                self.next.set(self.next.get() + 1);
                (Some(self.clients[*place].authorization.as_str()), self.text.get(proof.clone()))
            }
        };
        Some(Shot { kind: Kind::Good, authorization, proof })
    }
}

impl Client {
    fn new(issuer: &PrivateKey, auth: Auth) -> Option<Self> {
        let key = PrivateKey::generate(Algorithm::Es256)?;
        let token = token(issuer, &key);
        let scheme = if auth == Auth::Bearer { "Bearer" } else { "DPoP" };
        Some(Self { authorization: format!("{scheme} {token}"), key, token })
    }

    fn proof(&self, htu: &str, clock: &Clock) -> String {
        let new = NewProof { method: &Method::GET, htu, token: Some(&self.token), nonce: None };
        sign(&self.key, &new, clock.now())
    }

    fn bad(&self, htu: &str, clock: &Clock) -> Bad {
        Bad {
            authorization: self.authorization.clone(),
            forged_authorization: forge(&self.authorization),
            used: self.proof(htu, clock),
            forged: forge(&self.proof(htu, clock)),
            elsewhere: self.proof(&format!("{htu}/elsewhere"), clock),
        }
    }
}

/// The token of RFC 9068 for a key, good for an hour.
fn token(issuer: &PrivateKey, key: &PrivateKey) -> String {
    let now = Clock::system().now().as_secs();
    let id = keyproof::jose::encode(&keyproof::jose::random::<12>());
    let claims = serde_json::json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{id}"), "client_id": "shop",
        "iat": now - 10, "exp": now + 3600, "jti": id, "scope": "orders:read",
        "cnf": { "jkt": key.public().thumbprint().to_string() },
    });
    let header = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{KEY_ID}"}}"#);
    issuer.sign(&header, &claims.to_string())
}

/// The same with another signature, in the middle so that it stays valid base64url.
fn forge(jws: &str) -> String {
    let at = jws.len() - 40;
    let other = if jws.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &jws[..at], &jws[at + 1..])
}
