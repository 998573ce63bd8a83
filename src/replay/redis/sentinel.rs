//! Asks the Sentinels where the primary is.
//!
//! One Sentinel is asked at a time, the one that answered last, over a connection that is kept. Where it does not answer, or names a
//! server that turns out to be no primary, the next one is asked: a Sentinel that is cut off from the others may be behind them.

use super::connect::{PATIENCE, open};
use super::unusable::{Step, Unusable, refused};
use super::url;
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ConnectionInfo, RedisConnectionInfo, cmd};
use std::time::Duration;
use tokio::sync::Mutex;

/// What a user of a Sentinel must be allowed.
const ASK: Step = Step { command: "+sentinel|get-master-addr-by-name", keys: "" };

/// Sentinels, and how to connect to the primary that they name.
#[derive(Clone)]
pub(super) struct SentinelPlan {
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) tls: bool,
    pub(super) service: String,
    /// What Sentinels ask for where it is not what Redis asks for.
    pub(super) own_password: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// How to log in at the primary.
    pub(super) login: RedisConnectionInfo,
}

/// Sentinels that can be asked.
pub(super) struct Sentinels {
    plan: SentinelPlan,
    config: AsyncConnectionConfig,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// The place of the one that is asked first.
    first: usize,
    connection: Option<MultiplexedConnection>,
}

impl Sentinels {
    pub(super) fn new(plan: SentinelPlan, config: AsyncConnectionConfig) -> Self {
        Self { plan, config, asked: Mutex::default() }
    }

    /// How to connect to the primary.
    pub(super) async fn primary(&self) -> Result<ConnectionInfo, Unusable> {
        let mut asked = self.asked.lock().await;
        let mut last = Unusable::NoSentinel;
        for _ in &self.plan.hosts {
            match self.ask_first(&mut asked).await {
                Ok(info) => return Ok(info),
                Err(refusal) => {
                    last = refusal;
                    self.turn_to_next(&mut asked);
                }
            }
        }
        Err(last)
    }

    /// What the last one asked has named was no primary that can be used.
    pub(super) async fn distrust(&self) {
        self.turn_to_next(&mut *self.asked.lock().await);
    }

    fn turn_to_next(&self, asked: &mut Asked) {
        let next = asked.first.saturating_add(1);
        *asked = Asked { first: if next < self.plan.hosts.len() { next } else { 0 }, connection: None };
    }

    async fn ask_first(&self, asked: &mut Asked) -> Result<ConnectionInfo, Unusable> {
        let mut connection = match asked.connection.take() {
            Some(connection) => connection,
            None => self.connect(asked.first).await?,
        };
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.plan.service);
        let answer = in_time(PATIENCE, question.query_async(&mut connection)).await?;
        let answer: Option<(String, u16)> = answer.map_err(|error| match error.code() {
            Some("NOAUTH") => Unusable::SentinelPassword,
            _ => refused(&error, &[ASK]),
        })?;
        let (host, port) = answer.ok_or_else(|| Unusable::UnknownService(self.plan.service.clone()))?;
        asked.connection = Some(connection);
        url::server(&host, port, self.plan.tls, self.plan.login.clone()).ok_or(Unusable::NoSentinel)
    }

    /// Connects and shows a password. A Sentinel that has none set is asked without one: it often has none where Redis has.
    async fn connect(&self, place: usize) -> Result<MultiplexedConnection, Unusable> {
        let (host, port) = self.plan.hosts.get(place).ok_or(Unusable::NoSentinel)?;
        let login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let info = url::server(host, *port, self.plan.tls, login).ok_or(Unusable::NoSentinel)?;
        let mut connection = open(info, &self.config).await?;
        let credentials = self.plan.credentials();
        if credentials.is_empty() {
            return Ok(connection);
        }
        for arguments in credentials {
            let mut auth = cmd("AUTH");
            auth.arg(arguments);
            match in_time(PATIENCE, auth.query_async::<()>(&mut connection)).await? {
                Ok(()) => return Ok(connection),
                Err(error)
                    if error.detail().is_some_and(|detail| detail.contains("without any password")) =>
                {
                    return Ok(connection);
                }
                Err(error) if error.code().is_none() => return Err(Unusable::Redis(error)),
                // What Redis says may have the password in it: it is not handed on.
                Err(_) => {}
            }
        }
        Err(Unusable::SentinelPassword)
    }
}

impl SentinelPlan {
    /// What `AUTH` is tried with, one after the other: the Sentinels' own password, or else the URL's, first without its user, because
    /// most Sentinels know none.
    fn credentials(&self) -> Vec<Vec<&str>> {
        match (&self.own_password, &self.user, &self.password) {
            (Some(own), ..) => vec![vec![own]],
            (None, Some(user), Some(password)) => vec![vec![password], vec![user, password]],
            (None, None, Some(password)) => vec![vec![password]],
            (None, _, None) => Vec::new(),
        }
    }
}

async fn in_time<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, Unusable> {
    tokio::time::timeout(patience, answer).await.map_err(|_| Unusable::Slow)
}
