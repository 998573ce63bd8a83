//! What can only be seen of all routes together.

use crate::authorize::{Mode, Policy};
use crate::config::document::Route;
use crate::config::plan::RoutePlan;
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::dpop::NoncePolicy;
use crate::route::{Matcher, Table};
use crate::uri::Origin;

/// The table of routes; every route that can never match is a problem.
pub(super) fn table(
    routes: &[(&Route, Matcher)],
    origins: &[Origin],
    findings: &mut Findings,
) -> Option<Table> {
    let matchers: Vec<Matcher> = routes.iter().map(|(_, matcher)| matcher.clone()).collect();
    let conflicts = match Table::new(origins, &matchers) {
        Ok(table) => return Some(table),
        Err(conflicts) => conflicts,
    };
    for conflict in conflicts {
        let (Some((first, _)), Some((second, _))) = (routes.get(conflict.first), routes.get(conflict.second))
        else {
            continue;
        };
        let place = second.matches.as_ref().map_or(&second.place, |matches| &matches.place);
        let name = first.name.as_ref().map(Spot::shown).unwrap_or_default();
        let what = format!("route {name} on line {} already takes these requests", first.place.line);
        findings.problem(
            place,
            what,
            "give this one another path, a more specific host or other methods, or delete it",
        );
    }
    None
}

/// A route that keeps encoded slashes, above one that asks for more: many upstreams take `%2F` for `/`.
pub(super) fn slashes_above_stricter_routes(routes: &[(&Route, RoutePlan)], findings: &mut Findings) {
    for (route, plan) in routes.iter().filter(|(_, plan)| plan.keep_encoded_slashes) {
        let below = |other: &RoutePlan| {
            let rest = other.matcher.path.strip_prefix(plan.matcher.path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
                && share_a_host(&plan.matcher, &other.matcher)
                && asks_for_more(&other.policy, &plan.policy)
        };
        if let Some((_, stricter)) = routes.iter().find(|(_, other)| below(other)) {
            let what = format!(
                "encoded slashes are kept above the stricter route \"{}\": many upstreams take %2F for a slash",
                stricter.name
            );
            let help = "a path that they would read as that route's is refused (400); delete encoded_slashes unless %2F is needed here";
            findings.warn(&route.encoded_slashes.place, what, help);
        }
    }
}

fn share_a_host(one: &Matcher, other: &Matcher) -> bool {
    let name = |host: &String| host.split(':').next().map(str::to_owned);
    one.hosts.is_empty()
        || other.hosts.is_empty()
        || one.hosts.iter().any(|host| other.hosts.iter().any(|rival| name(host) == name(rival)))
}

/// Whether something that passes under `than` would not under `policy`.
fn asks_for_more(policy: &Policy, than: &Policy) -> bool {
    let required = |policy: &Policy| policy.nonce == NoncePolicy::Required;
    let enforced = |policy: &Policy| policy.mode == Mode::Enforce;
    !policy.public
        && (than.public
            || (than.accept.bearer && !policy.accept.bearer)
            || (than.accept.dpop && !policy.accept.dpop)
            || (than.accept.mtls && !policy.accept.mtls)
            || (required(policy) && !required(than))
            || (enforced(policy) && !enforced(than))
            || policy.scopes.iter().any(|scope| !than.scopes.contains(scope))
            || (!policy.issuers.is_empty() && policy.issuers != than.issuers))
}

/// Says once what observing does not let through.
pub(super) fn warn_of_observing(routes: &[Route], findings: &mut Findings) {
    let observes = |route: &&Route| route.mode.value == Mode::Observe;
    if let Some(route) = routes.iter().find(observes) {
        let what = "this mode lets through what the checks would refuse, but not what cannot be forwarded for sure: bad framing, an \
                    authority that is not in public_origins, an ambiguous path, a path or method that no route takes";
        let help = "look for decision \"deny\" in log and metrics: such requests are refused in every mode";
        findings.warn(&route.mode.place, what, help);
    }
}
