//! Identity headers: which names a route may set.

use super::names;
use crate::config::document::Identity;
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::headers::{is_reserved, letters_and_digits};
use crate::identity::IdentityMap;
use http::HeaderName;

/// The headers of a route's `identity` section.
pub(super) fn plan(identity: &Identity, findings: &mut Findings) -> IdentityMap {
    let mut headers = Vec::new();
    let mut seen: Vec<(Vec<u8>, &Spot<String>)> = Vec::new();
    for (name, claim) in &identity.headers.items {
        let fold: Vec<u8> = letters_and_digits(&name.value).collect();
        let what = if let Some((_, first)) = seen.iter().find(|(earlier, _)| *earlier == fold) {
            Some((
                format!("{} is the same header as {} to many applications", name.shown(), first.shown()),
                "use names that differ in letters or digits, not only in case or marks",
            ))
        } else if is_reserved(&name.value) {
            Some((
                format!("{} has a meaning of its own and cannot carry a claim", name.shown()),
                "use another name, such as X-Auth-Subject",
            ))
        } else {
            None
        };
        if let Some((what, help)) = what {
            findings.problem(&name.place, what, help);
        }
        names::claim(claim, findings);
        let parsed = HeaderName::from_bytes(name.value.as_bytes()).ok().filter(|_| !fold.is_empty());
        match parsed {
            Some(header) => headers.push((header, claim.value.clone())),
            None => {
                let help = "use letters, digits and \"-\", as X-Auth-Subject";
                findings.problem(&name.place, format!("{} is not a header name", name.shown()), help);
            }
        }
        seen.push((fold, name));
    }
    IdentityMap { headers }
}
