//! Which front it is.

use super::Case;
use super::lines::lines;
use http::header::{SERVER, VIA};

/// The fronts whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Front {
    Nginx,
    Caddy,
    Traefik,
    Haproxy,
    Envoy,
}

/// In the order of the documentation.
pub(super) const ALL: [Front; 5] = [Front::Nginx, Front::Caddy, Front::Traefik, Front::Haproxy, Front::Envoy];

impl Front {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Traefik => "Traefik",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
        }
    }

    /// The one that has left its name in what it sent on, or in the answer.
    pub(super) fn recognised(case: &Case) -> Option<Self> {
        let came = |name: &str| !lines(&case.sighting, name).is_empty();
        let says = |name, what: &str| {
            let mut all = case.answer.headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
            all.any(|line| line.to_ascii_lowercase().contains(what))
        };
        match () {
            () if came("x-envoy-expected-rq-timeout-ms")
                || came("x-envoy-internal")
                || says(SERVER, "envoy") =>
            {
                Some(Self::Envoy)
            }
            () if says(SERVER, "nginx") || says(SERVER, "openresty") => Some(Self::Nginx),
            () if says(SERVER, "caddy") || says(VIA, "caddy") => Some(Self::Caddy),
            () if came("x-forwarded-server") => Some(Self::Traefik),
            () => None,
        }
    }
}
