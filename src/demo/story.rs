//! The client and the thief: six acts, each one request and what must become of it.

use super::stage::{CLIENT_ID, CLIENT_SECRET, Stage};
use crate::client::token::{self, ClientCredentials, Token};
use crate::client::{
    Answer, Call, ClientError, Credentials, HttpClient, Proof, Sent, exchange, repeat, roots,
};
use crate::clock::Clock;
use crate::headers::AuthScheme;
use crate::jose::{Algorithm, PrivateKey};
use crate::net::Proxies;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};

/// Client and thief, with what each of them holds.
#[derive(Debug)]
pub struct Story<'a> {
    stage: &'a Stage,
    clock: Clock,
    http: HttpClient,
    key: PrivateKey,
    token: Token,
    call: Call,
    /// The client's good request as it went over the wire.
    recorded: Option<Sent>,
}

/// One act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The client, with token, key and a fresh proof.
    Owner,
    /// The thief, with the token alone.
    NoProof,
    /// The thief, with the token and a proof by another key.
    AnotherKey,
    /// The thief, with the client's request, recorded byte for byte.
    Replay,
    /// The thief, with an unused proof that the client signed for another URL.
    AnotherUrl,
    /// The thief, presenting the token as Bearer.
    Downgrade,
}

/// What happened in one act.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Which one.
    pub act: Act,
    /// The gateway asked for its nonce first, and the request was signed again.
    pub challenged: bool,
    /// The last answer.
    pub answer: Answer,
    /// Whether the request reached the upstream.
    pub reached: bool,
}

impl Act {
    /// The story in order.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::NoProof, Self::AnotherKey, Self::Replay, Self::AnotherUrl, Self::Downgrade];

    /// Who does what, as a title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Owner => "The client sends its token and a proof by its key",
            Self::NoProof => "A thief has the token, but not the key",
            Self::AnotherKey => "The thief signs with another key",
            Self::Replay => "The thief replays the client's whole request",
            Self::AnotherUrl => "The thief moves a fresh proof to another URL",
            Self::Downgrade => "The thief presents the token as Bearer",
        }
    }

    /// What goes over the wire, in one line.
    pub const fn sent(self) -> &'static str {
        match self {
            Self::Owner => "GET /orders   DPoP token, proof for GET /orders",
            Self::NoProof => "GET /orders   DPoP token, no proof",
            Self::AnotherKey => "GET /orders   DPoP token, proof signed by the thief's key",
            Self::Replay => "GET /orders   DPoP token, the proof of act 1 again",
            Self::AnotherUrl => "GET /orders   DPoP token, unused proof for GET /invoices",
            Self::Downgrade => "GET /orders   Bearer token, no proof",
        }
    }

    /// Why it ends as it does.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Owner => {
                "The proof is a small JWT, signed for this one request: its method, its URL, this token, now. \
                 The upstream needs to know nothing of it. It gets the request and who is asking:"
            }
            Self::NoProof => {
                "A token from a log file, a crash dump or a careless service. It is bound to the client's key, \
                 and without a proof by that key it opens nothing."
            }
            Self::AnotherKey => {
                "A flawless proof, but the token names the thumbprint of the client's key. Nobody can change that: \
                 the issuer has signed the token."
            }
            Self::Replay => {
                "Token, proof and key are all genuine now. But the gateway remembers every proof that it let \
                 through, for as long as it could pass again."
            }
            Self::AnotherUrl => {
                "Genuine and never used, yet signed for something else. A proof names the method and the URL it \
                 is for, so it opens no other door."
            }
            Self::Downgrade => {
                "The old way, where whoever holds the token may use it. The token itself says that it is bound \
                 to a key, so it is refused without one."
            }
        }
    }

    /// The status and the challenge's `error` that RFC 9449 and RFC 6750 lead one to expect.
    pub const fn expected(self) -> (StatusCode, Option<&'static str>) {
        match self {
            Self::Owner => (StatusCode::OK, None),
            Self::NoProof | Self::Replay | Self::AnotherUrl => {
                (StatusCode::UNAUTHORIZED, Some("invalid_dpop_proof"))
            }
            Self::AnotherKey | Self::Downgrade => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
        }
    }
}

impl Scene {
    /// Whether it went as told: status, error, and whether the upstream heard of it.
    pub fn as_told(&self) -> bool {
        let (status, error) = self.act.expected();
        self.answer.status == status
            && self.answer.challenge_parameter("error").as_deref() == error
            && self.reached == status.is_success()
    }
}

impl<'a> Story<'a> {
    /// The client makes its key and gets a token that is bound to it.
    ///
    /// # Errors
    /// [`ClientError`] where the authorization server gives none.
    pub async fn begin(stage: &'a Stage, clock: &Clock) -> Result<Self, ClientError> {
        let http = HttpClient::new(roots(false, Some(stage.certificate.as_bytes()))?, &Proxies::default())?;
        let key = new_key()?;
        let credentials = ClientCredentials {
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            scope: Some("orders:read".to_owned()),
            resources: Vec::new(),
        };
        let endpoint = token::discover(&http, &stage.issuer).await?;
        let token = token::fetch(&http, &endpoint, &credentials, Some(&key), clock).await?;
        let uri: Uri = stage.url("/orders").parse().map_err(|_| ClientError::Url)?;
        let call = Call { method: Method::GET, uri, headers: HeaderMap::new(), body: Bytes::new() };
        Ok(Self { stage, clock: clock.clone(), http, key, token, call, recorded: None })
    }

    /// The thumbprint of the client's key, which the token names.
    pub fn thumbprint(&self) -> String {
        self.key.public().thumbprint().to_string()
    }

    /// Plays one act. [`Act::Replay`] needs [`Act::Owner`] before it.
    ///
    /// # Errors
    /// [`ClientError`] where no answer came.
    pub async fn play(&mut self, act: Act) -> Result<Scene, ClientError> {
        let before = self.stage.reached_upstream();
        let mut sent = self.send(act).await?;
        let challenged = sent.len() > 1;
        let Some(last) = sent.pop() else { return Err(ClientError::NothingToRepeat) };
        let reached = self.stage.reached_upstream() > before;
        let scene = Scene { act, challenged, answer: last.answer.clone(), reached };
        if act == Act::Owner {
            self.recorded = Some(last);
        }
        Ok(scene)
    }

    async fn send(&self, act: Act) -> Result<Vec<Sent>, ClientError> {
        let orders = self.stage.url("/orders");
        match act {
            Act::Owner => self.with_key(&self.key, &orders).await,
            Act::AnotherKey => self.with_key(&new_key()?, &orders).await,
            Act::AnotherUrl => self.with_key(&self.key, &self.stage.url("/invoices")).await,
            Act::NoProof => self.without_proof(AuthScheme::Dpop).await,
            Act::Downgrade => self.without_proof(AuthScheme::Bearer).await,
            Act::Replay => match &self.recorded {
                Some(recorded) => Ok(vec![repeat(&self.http, &self.call, recorded).await?]),
                None => Ok(Vec::new()),
            },
        }
    }

    async fn with_key(&self, key: &PrivateKey, htu: &str) -> Result<Vec<Sent>, ClientError> {
        self.exchange(AuthScheme::Dpop, Proof::Fresh { key, htu }).await
    }

    async fn without_proof(&self, scheme: AuthScheme) -> Result<Vec<Sent>, ClientError> {
        self.exchange(scheme, Proof::None).await
    }

    async fn exchange(&self, scheme: AuthScheme, proof: Proof<'_>) -> Result<Vec<Sent>, ClientError> {
        let credentials = Credentials { scheme, token: &self.token.access_token, proof };
        exchange(&self.http, &self.call, &credentials, &self.clock).await
    }
}

fn new_key() -> Result<PrivateKey, ClientError> {
    PrivateKey::generate(Algorithm::Es256).ok_or(ClientError::Key)
}
