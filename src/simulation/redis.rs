//! A model of Redis, as far as the store asks it: one primary that can be killed, emptied, replaced by a replica which lags behind, set
//! wrong, filled up and cut off, and answers that come late or never.

use super::engine::{self, Millis, Owner, WORLD};
use super::flaw;
use redis::aio::ConnectionLike;
use redis::{Cmd, ConnectionAddr, Pipeline, RedisError, RedisFuture, Value, parse_redis_value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long connecting and any answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    static REDIS: RefCell<Redis> = RefCell::default();
}

/// The server that is the primary now, and what its replica may not have yet.
#[derive(Default)]
struct Redis {
    /// Which run of which process this is: connections lead to one of them.
    process: u64,
    run_id: u64,
    replication_id: u64,
    alive: bool,
    keys: HashMap<Vec<u8>, Entry>,
    /// What each write found, to be undone where it is lost.
    writes: Vec<(Millis, Vec<u8>, Option<Entry>)>,
    /// Its clock less the true time.
    offset: i64,
    full: bool,
    /// Answers do not come before then.
    stalled_to: Millis,
    /// One answer in so many is lost; 0 for none.
    lossy: u64,
    slow: bool,
    /// Who cannot reach it, and until when.
    cut: HashMap<Owner, Millis>,
    /// The one before, which now is a replica; a Sentinel may still name it, until then.
    former: Option<(u64, Millis)>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    /// By its own clock.
    expires: Option<i64>,
}

fn with<T>(see: impl FnOnce(&mut Redis) -> T) -> T {
    REDIS.with_borrow_mut(see)
}

/// A new, empty server.
pub(super) fn begin(offset: i64) {
    let (run_id, replication_id) = (engine::below(u64::MAX), engine::below(u64::MAX));
    REDIS.set(Redis { process: 1, run_id, replication_id, alive: true, offset, ..Redis::default() });
}

/// What is done to it.
pub(super) fn kill() {
    with(|redis| redis.alive = false);
}

/// It is started again, with what it had up to so long ago, or nothing.
pub(super) fn restart(lost: Option<Millis>) {
    let (run_id, replication_id) = (engine::below(u64::MAX), engine::below(u64::MAX));
    with(|redis| {
        redis.lose(lost);
        redis.process += 1;
        (redis.run_id, redis.alive) = (run_id, true);
        if lost.is_none() {
            redis.replication_id = replication_id;
        }
    });
}

/// Its replica takes its place, without the writes of the last moments; its clock differs from the other's.
pub(super) fn fail_over(lag: Millis, difference: i64) {
    let (run_id, replication_id) = (engine::below(u64::MAX), engine::below(u64::MAX));
    let misled_to = engine::now() + engine::between(0, 2000);
    with(|redis| {
        redis.lose(Some(lag));
        redis.former = Some((redis.process, misled_to));
        redis.process += 1;
        (redis.run_id, redis.replication_id, redis.alive) = (run_id, replication_id, true);
        redis.offset += difference;
    });
}

pub(super) fn flush() {
    with(|redis| redis.keys.clear());
}

pub(super) fn jump(by: i64) {
    with(|redis| redis.offset += by);
}

pub(super) fn fill(full: bool) {
    with(|redis| redis.full = full);
}

pub(super) fn stall(length: Millis) {
    with(|redis| redis.stalled_to = engine::now() + length);
}

pub(super) fn disturb(lossy: u64, slow: bool) {
    with(|redis| (redis.lossy, redis.slow) = (lossy, slow));
}

pub(super) fn cut(owner: Owner, length: Millis) {
    with(|redis| redis.cut.insert(owner, engine::now() + length));
}

/// Faults end.
pub(super) fn heal() {
    with(|redis| {
        (redis.full, redis.stalled_to, redis.lossy, redis.slow, redis.former) = (false, 0, 0, false, None);
        redis.cut.clear();
    });
    if !with(|redis| redis.alive) {
        restart(Some(0));
    }
}

pub(super) fn offset() -> i64 {
    with(|redis| redis.offset)
}

impl Redis {
    /// Takes back what was written in so long; without a length, everything.
    fn lose(&mut self, lost: Option<Millis>) {
        let Some(lost) = lost else {
            self.keys.clear();
            return self.writes.clear();
        };
        let kept = engine::now() - lost;
        while let Some((_, key, before)) = self.writes.pop_if(|(at, ..)| *at > kept) {
            match before {
                Some(before) => self.keys.insert(key, before),
                None => self.keys.remove(&key),
            };
        }
    }

    fn time(&self) -> i64 {
        engine::START + engine::now() + self.offset
    }

    fn find(&mut self, key: &[u8]) -> Option<Entry> {
        let now = self.time();
        let entry = self.keys.get(key)?;
        if entry.expires.is_some_and(|expires| expires <= now) {
            self.keys.remove(key);
            return None;
        }
        Some(entry.clone())
    }

    fn put(&mut self, key: &[u8], entry: Entry) {
        let before = self.keys.insert(key.to_vec(), entry);
        self.writes.push((engine::now(), key.to_vec(), before));
    }

    /// One command; whole ones, as the store sends them.
    fn execute(&mut self, words: &[Vec<u8>], is_primary: bool) -> Value {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match words[..] {
            [b"INFO", ..] => Value::BulkString(self.info(is_primary).into_bytes()),
            [b"TIME"] => {
                let now = self.time();
                let text = |number: i64| Value::BulkString(number.to_string().into_bytes());
                Value::Array(vec![text(now / 1000), text(now % 1000 * 1000)])
            }
            [b"DBSIZE"] => Value::Int(self.keys.len() as i64),
            [b"GET", key] => self.find(key).map_or(Value::Nil, |entry| Value::BulkString(entry.value)),
            [b"PEXPIRE", key, millis] => {
                let Some(found) = self.find(key) else { return Value::Int(0) };
                if number(millis) <= 0 {
                    // At once, wherever its clock goes.
                    let before = self.keys.remove(key);
                    self.writes.push((engine::now(), key.to_vec(), before));
                    return Value::Int(1);
                }
                self.put(key, Entry { expires: Some(self.time() + number(millis)), ..found });
                Value::Int(1)
            }
            [b"SET", ..] if !is_primary => {
                error(b"-READONLY You can't write against a read only replica.\r\n")
            }
            [b"SET", ..] if self.full => {
                error(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
            }
            [b"SET", key, value, ref options @ ..] => self.set(key, value, options),
            _ => panic!("Redis does not know {words:?}"),
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8], options: &[&[u8]]) -> Value {
        let has = |option: &[u8]| options.contains(&option);
        let there = self.find(key).is_some();
        if has(b"NX") && there || has(b"XX") && !there {
            return Value::Nil;
        }
        let life = options.windows(2).find(|pair| pair[0] == b"PX").map(|pair| number(pair[1]));
        let expires = life.map(|life| self.time() + life);
        self.put(key, Entry { value: value.to_vec(), expires });
        Value::Okay
    }

    fn info(&self, is_primary: bool) -> String {
        let role = if is_primary { "master" } else { "slave" };
        format!(
            "loading:0\r\nrole:{role}\r\nmaxmemory_policy:noeviction\r\nrun_id:{:x}\r\nmaster_replid:{:x}\r\nevicted_keys:0\r\ncluster_enabled:0\r\n",
            self.run_id, self.replication_id
        )
    }
}

fn number(digits: &[u8]) -> i64 {
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

fn error(said: &[u8]) -> Value {
    parse_redis_value(said).unwrap()
}

/// How a replica finds the primary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    owner: Owner,
    /// Where it moves is asked; otherwise its address moves with it.
    has_sentinel: bool,
}

/// A connection to one run of one server, as long as that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    owner: Owner,
    process: u64,
}

impl Network {
    pub(super) const fn new(owner: Owner, has_sentinel: bool) -> Self {
        Self { owner, has_sentinel }
    }

    /// Connects to what is said to be the primary.
    pub(crate) async fn connect(self) -> Result<(Connection, ConnectionAddr), RedisError> {
        self.reach().await?;
        let process = self.named();
        let connection = Connection { owner: self.owner, process };
        if with(|redis| redis.reached(connection)) { Ok((connection, address(process))) } else { Err(gone()) }
    }

    /// Whether the primary is another one by now, where somebody knows.
    pub(crate) async fn knows_another(self, than: &ConnectionAddr) -> Result<bool, RedisError> {
        if self.has_sentinel {
            self.reach().await?;
        }
        Ok(self.has_sentinel && address(self.named()) != *than)
    }

    async fn reach(self) -> Result<(), RedisError> {
        engine::in_time(PATIENCE, travel(self.owner)).await.unwrap_or_else(|| Err(gone()))
    }

    fn named(self) -> u64 {
        with(|redis| match redis.former {
            Some((former, to)) if self.has_sentinel && engine::now() < to => former,
            _ => redis.process,
        })
    }
}

/// Servers have addresses, and a process that is started again has a new one here: nobody looks at more than whether it is the same.
fn address(process: u64) -> ConnectionAddr {
    ConnectionAddr::Tcp("redis".to_owned(), u16::try_from(process).unwrap())
}

impl Redis {
    fn reached(&self, connection: Connection) -> bool {
        self.alive
            && (connection.process == self.process
                || self.former.is_some_and(|(former, _)| former == connection.process))
    }
}

/// One way to the server or back: mostly at once, sometimes late, sometimes never.
async fn travel(owner: Owner) -> Result<(), RedisError> {
    let (cut_to, stalled_to, lossy, slow) = with(|redis| {
        (redis.cut.get(&owner).copied().unwrap_or(0), redis.stalled_to, redis.lossy, redis.slow)
    });
    if cut_to > engine::now() {
        engine::sleep(cut_to - engine::now()).await;
        return Err(gone());
    }
    let mut late = (stalled_to - engine::now()).max(0);
    if slow || engine::one_in(4) {
        late += engine::between(0, if slow { 400 } else { 3 });
    }
    if lossy > 0 && engine::one_in(lossy) {
        late += 5000;
    }
    if late > 0 {
        engine::sleep(late).await;
    }
    Ok(())
}

fn gone() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

impl Connection {
    /// Sends whole commands, and waits for their answers. What was sent is carried out, whether or not somebody still waits.
    async fn ask(self, commands: Vec<Vec<Vec<u8>>>) -> Result<Vec<Value>, RedisError> {
        let (answer, answered) = oneshot::channel();
        engine::spawn(WORLD, async move {
            drop(answer.send(self.carry_out(commands).await));
        });
        // What a connection is configured with.
        let in_time = engine::in_time(PATIENCE, answered).await;
        in_time.and_then(Result::ok).unwrap_or_else(|| Err(gone()))
    }

    async fn carry_out(self, commands: Vec<Vec<Vec<u8>>>) -> Result<Vec<Value>, RedisError> {
        travel(self.owner).await?;
        let mut answers = Vec::new();
        for command in &commands {
            if !answers.is_empty() && engine::one_in(16) {
                // Another client's command comes between.
                engine::sleep(engine::between(0, 2)).await;
            }
            if !with(|redis| redis.reached(self)) {
                return Err(gone());
            }
            let sent = flaw::sent(command);
            let answer = with(|redis| redis.execute(&sent, self.process == redis.process));
            answers.push(flaw::answered(self.owner, command, answer));
        }
        travel(self.owner).await?;
        // A connection whose server is gone is closed, often with answers on their way.
        if with(|redis| redis.reached(self)) || engine::one_in(2) { Ok(answers) } else { Err(gone()) }
    }
}

fn words(command: &Cmd) -> Vec<Vec<u8>> {
    command
        .args_iter()
        .map(|word| match word {
            redis::Arg::Simple(word) => word.to_vec(),
            _ => panic!("no command has a cursor"),
        })
        .collect()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let (connection, commands) = (*self, vec![words(cmd)]);
        Box::pin(async move { Ok(connection.ask(commands).await?.remove(0)) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        _offset: usize,
        _count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let (connection, commands) = (*self, pipeline.cmd_iter().map(words).collect());
        Box::pin(connection.ask(commands))
    }

    fn get_db(&self) -> i64 {
        0
    }
}
