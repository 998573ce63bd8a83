//! What mends it: the line of each front's configuration.
//!
//! A front either forwards to keyproof or asks it (`mode: forward_auth`, or `ext_authz_grpc`, as the configurations in `deploy/front` do). Lines of
//! the second kind are those of `deploy/front`, to the letter.

mod asking;
mod forwarding;
mod over_grpc;

use super::Cause;
use super::fronts::Front;

/// Where in a configuration what should stand, or should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// This line, there.
    Write(&'static str, &'static str),
    /// Not this, there.
    Without(&'static str, &'static str),
    /// No line does it.
    Know(&'static str),
}

/// What it mends, and how for each front, in the order of [`super::fronts::ALL`].
type Row = (&'static [Cause], [Mend; 5]);

/// What mends it where the front forwards to keyproof.
pub(super) fn forwarding(cause: Cause, front: Front) -> Option<Mend> {
    of(forwarding::TABLE, cause, front)
}

/// What mends it where the front asks keyproof, as in `deploy/front`.
pub(super) fn asking(cause: Cause, front: Front) -> Option<Mend> {
    of(asking::TABLE, cause, front)
}

/// What mends it where Envoy asks keyproof over gRPC.
pub(super) fn over_grpc(cause: Cause) -> Option<Mend> {
    over_grpc::TABLE.iter().find(|(causes, _)| causes.contains(&cause)).map(|(_, mend)| *mend)
}

fn of(table: &[Row], cause: Cause, front: Front) -> Option<Mend> {
    let (_, [nginx, caddy, traefik, haproxy, envoy]) =
        *table.iter().find(|(causes, _)| causes.contains(&cause))?;
    Some(match front {
        Front::Nginx => nginx,
        Front::Caddy => caddy,
        Front::Traefik => traefik,
        Front::Haproxy => haproxy,
        Front::Envoy => envoy,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fronts::ALL;
    use super::*;

    const CAUSES: [Cause; 18] = [
        Cause::Host,
        Cause::Port,
        Cause::PrefixStripped,
        Cause::PrefixAdded,
        Cause::Path,
        Cause::Scheme,
        Cause::Method,
        Cause::Query,
        Cause::ProofLost,
        Cause::AuthorizationLost,
        Cause::ProofJoined,
        Cause::NonceLost,
        Cause::ChallengeLost,
        Cause::ExposedLost,
        Cause::AskedTwice,
        Cause::Status,
        Cause::Obeyed,
        Cause::Described,
    ];

    const fn file(front: Front) -> &'static [&'static str] {
        match front {
            Front::Nginx => &["nginx.conf"],
            Front::Caddy => &["Caddyfile"],
            Front::Traefik => &["traefik-routes.yaml", "traefik.yaml"],
            Front::Haproxy => &["haproxy.cfg", "haproxy-keyproof.lua"],
            Front::Envoy => &["envoy.yaml"],
        }
    }

    #[test]
    fn the_lines_to_write_are_those_of_the_shipped_configurations() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/front");
        for front in ALL {
            let read = |name: &&str| std::fs::read_to_string(folder.join(name)).unwrap();
            let shipped: String = file(front).iter().map(read).collect();
            // What TLS before the front needs is not shipped: it depends on who ends it.
            for cause in CAUSES.into_iter().filter(|cause| *cause != Cause::Scheme) {
                let mend = asking(cause, front).unwrap();
                if let Mend::Write(_, line) = mend {
                    let line = line.split("    #").next().unwrap();
                    assert!(shipped.contains(line), "{front:?}, {cause:?}: {line}");
                }
            }
        }
    }

    #[test]
    fn so_are_those_of_envoy_over_grpc() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/front/envoy-grpc.yaml");
        let shipped = std::fs::read_to_string(file).unwrap();
        for cause in CAUSES.into_iter().filter(|cause| *cause != Cause::Scheme) {
            if let Mend::Write(_, line) = over_grpc(cause).unwrap() {
                assert!(shipped.contains(line), "{cause:?}: {line}");
            }
        }
    }

    #[test]
    fn every_front_has_an_answer_to_what_a_front_can_break() {
        for front in ALL {
            for cause in CAUSES {
                assert!(asking(cause, front).is_some(), "{front:?}, {cause:?}");
                assert_eq!(
                    forwarding(cause, front).is_some(),
                    cause != Cause::Described,
                    "{front:?}, {cause:?}"
                );
            }
        }
    }
}
