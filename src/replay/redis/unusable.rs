//! Why Redis is not asked, in words that say what to do about it.

use crate::clock::CLOCK_DIFFERENCE;
use ::redis::{ErrorKind, RedisError, ServerError};

/// What a connection's user must be allowed, as `ACL SETUSER` takes it: no less, and no more.
pub(super) const ACL: &str = "~kp:* ~keyproof:replay:* +set +get +time +info +pexpire +dbsize";

/// What one command of ours needs to be allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// `+set`
    pub(super) command: &'static str,
    /// `~kp:*`, or nothing where it names no key.
    pub(super) keys: &'static str,
}

impl Step {
    /// A command on used proofs.
    pub(super) const fn proof(command: &'static str) -> Self {
        Self { command, keys: "~kp:*" }
    }

    /// A command on what replicas share beside used proofs.
    pub(super) const fn shared(command: &'static str) -> Self {
        Self { command, keys: "~keyproof:replay:*" }
    }

    /// A command that names no key.
    pub(super) const fn plain(command: &'static str) -> Self {
        Self { command, keys: "" }
    }
}

/// Why servers are not asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{}", without_arguments(&.0.to_string()))]
    Redis(RedisError),
    #[error("it does not answer in time")]
    Slow,
    #[error("this server is no primary: name the primary, or Sentinels who know it")]
    NoPrimary,
    #[error("it is loading its data (LOADING)")]
    Loading,
    #[error(
        "maxmemory-policy is {0}, which drops used proofs when memory runs short and lets them be replayed; set it with \
         `CONFIG SET maxmemory-policy noeviction` and in redis.conf"
    )]
    Evicts(String),
    #[error("INFO lacks {0}; connect to Redis itself, not to a proxy")]
    NoInfo(&'static str),
    #[error(
        "it forbids what keyproof needs (NOPERM): allow {missing} with `ACL SETUSER`; all that a user needs is: {ACL}{}",
        extra(missing)
    )]
    Forbidden { missing: String },
    #[error(
        "it wants a password (NOAUTH): write it into the URL, redis://:password@host or redis://user:password@host"
    )]
    NoPassword,
    #[error("it refuses the user or the password of the URL, or has no password set")]
    WrongPassword,
    #[error("its memory is full (OOM): raise maxmemory")]
    OutOfMemory,
    #[error(
        "this server is a replica, which takes no writes (READONLY): name the primary, or Sentinels who know it"
    )]
    ReadOnly,
    #[error(
        "it cannot save its data and refuses writes (MISCONF): mend its disk, or set stop-writes-on-bgsave-error to no"
    )]
    CannotSave,
    #[error(
        "it has fewer good replicas than min-replicas-to-write asks for, and refuses writes (NOREPLICAS): mend its replicas"
    )]
    NoReplicas,
    #[error(
        "this server is a replica that has lost its primary (MASTERDOWN): name the primary, or Sentinels who know it"
    )]
    PrimaryDown,
    #[error("the cluster is down (CLUSTERDOWN): some of its slots are served by nobody")]
    ClusterDown,
    #[error("no Sentinel answers")]
    NoSentinel,
    #[error("the Sentinel wants a password and refuses ours: set replay.redis.sentinel_password_file")]
    SentinelPassword,
    #[error(
        "the Sentinel knows no service {0}: write what its configuration says after \"sentinel monitor\""
    )]
    UnknownService(String),
    #[error("its data was lost (a failover, a restart or a flush): proofs from before get a nonce challenge")]
    EpochLost,
    #[error(
        "the clock of this machine is {} {} its own, and at most {} s are borne: set both by NTP; until then this replica takes no proofs",
        rounded(.0.unsigned_abs()),
        if *.0 < 0 { "behind" } else { "ahead of" },
        CLOCK_DIFFERENCE.as_secs()
    )]
    ClocksDiffer(i64),
    #[error("its clock has jumped, by which keys expire: proofs from before get a nonce challenge")]
    ClockJumped,
    #[error("the primary or the slots of the cluster have changed")]
    Moved,
    #[error("several URLs, but the server belongs to no cluster: write one URL, or enable the cluster")]
    NoCluster,
    #[error("the cluster has no complete map of its slots")]
    NoSlots,
}

/// A difference of clocks in milliseconds, so coarse that it is not another one every second.
fn rounded(millis: u64) -> String {
    let seconds = millis / 1000;
    if seconds < 120 { format!("{seconds} s") } else { format!("{} minutes", seconds / 60) }
}

/// What an error says, in answer to these commands.
pub(super) fn refused(error: &RedisError, steps: &[Step]) -> Unusable {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Unusable::WrongPassword;
    }
    let errors = error.clone().into_server_errors().unwrap_or_default();
    let forbidden = forbidden(&errors, steps);
    if !forbidden.is_empty() {
        return Unusable::Forbidden { missing: forbidden.join(" ") };
    }
    errors
        .iter()
        .find_map(|(_, error)| by_code(error.code()))
        .unwrap_or_else(|| Unusable::Redis(error.clone()))
}

fn by_code(code: &str) -> Option<Unusable> {
    match code {
        "NOAUTH" => Some(Unusable::NoPassword),
        "WRONGPASS" => Some(Unusable::WrongPassword),
        "OOM" => Some(Unusable::OutOfMemory),
        "READONLY" => Some(Unusable::ReadOnly),
        "MISCONF" => Some(Unusable::CannotSave),
        "NOREPLICAS" => Some(Unusable::NoReplicas),
        "LOADING" => Some(Unusable::Loading),
        "MASTERDOWN" => Some(Unusable::PrimaryDown),
        "CLUSTERDOWN" => Some(Unusable::ClusterDown),
        "MOVED" | "ASK" => Some(Unusable::Moved),
        _ => None,
    }
}

/// The rules that are missing, each once: of a command where Redis names the command, or else of its keys.
fn forbidden(errors: &[(usize, ServerError)], steps: &[Step]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for (place, error) in errors {
        let Some(step) = steps.get(*place).filter(|_| error.code() == "NOPERM") else { continue };
        let names_command = error.details().is_some_and(|detail| detail.contains(" command"));
        let rule = if names_command || step.keys.is_empty() { step.command } else { step.keys };
        if !missing.contains(&rule) {
            missing.push(rule);
        }
    }
    missing
}

/// What a user needs besides where it was this that was missing.
fn extra(missing: &str) -> String {
    match ACL.split(' ').any(|rule| missing.split(' ').any(|missing| missing == rule)) {
        true => String::new(),
        false => format!(" {missing}"),
    }
}

/// What Redis says of a command that it does not know has the command's arguments in it, and those may be a password.
fn without_arguments(text: &str) -> &str {
    text.split(", with args").next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_rule_is_said_beside_what_is_missing() {
        let said = Unusable::Forbidden { missing: "+time".to_owned() }.to_string();
        assert!(said.contains("allow +time with") && said.ends_with(ACL), "{said}");
        let said = Unusable::Forbidden { missing: "+select".to_owned() }.to_string();
        assert!(said.ends_with("+dbsize +select"), "{said}");
    }

    /// The codes are those of Redis's `server.c` and `cluster.c`.
    #[test]
    fn every_code_of_a_refused_write_has_a_remedy() {
        for (code, said) in [
            ("NOAUTH", "wants a password"),
            ("WRONGPASS", "refuses the user or the password"),
            ("OOM", "raise maxmemory"),
            ("READONLY", "name the primary"),
            ("MISCONF", "mend its disk"),
            ("NOREPLICAS", "min-replicas-to-write"),
            ("LOADING", "loading its data"),
            ("MASTERDOWN", "name the primary"),
            ("CLUSTERDOWN", "cluster is down"),
            ("MOVED", "slots of the cluster have changed"),
            ("ASK", "slots of the cluster have changed"),
        ] {
            let refusal = by_code(code).unwrap();
            assert!(refusal.to_string().contains(said), "{code}: {refusal}");
        }
        assert!(by_code("ERR").is_none());
    }

    #[test]
    fn a_difference_of_clocks_is_said_with_its_direction() {
        assert!(Unusable::ClocksDiffer(-30_900).to_string().contains("is 30 s behind its own"));
        assert!(Unusable::ClocksDiffer(3_600_000).to_string().contains("is 60 minutes ahead of its own"));
    }

    #[test]
    fn no_argument_of_a_command_is_repeated() {
        let said = "unknown command 'AUTH', with args beginning with: 's3cret'";
        assert_eq!(without_arguments(said), "unknown command 'AUTH'");
    }
}
