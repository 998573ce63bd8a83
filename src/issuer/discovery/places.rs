//! Where metadata may be, and asking there in turn without waiting long for one that hangs.

use std::fmt;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

/// Where the metadata of an issuer may be, in the order in which they are asked: RFC 8414 section 3.1 puts the well-known part between
/// host and path, OpenID Connect Discovery section 4 behind the path, and RFC 8414 section 5 allows OpenID's in its own place too.
/// Without a path the last two are the same.
pub fn well_known(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        url
    };
    let mut places = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/openid-configuration{path}")),
    ];
    places.dedup();
    places
}

/// What was found at each place that was asked; nothing: no answer in time.
#[derive(Debug)]
pub struct Tried<E>(Vec<(Url, Option<E>)>);

impl<E: fmt::Display> fmt::Display for Tried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, (place, error)) in self.0.iter().enumerate() {
            let comma = if count > 0 { "; " } else { "" };
            match error {
                Some(error) => write!(f, "{comma}{place}: {error}")?,
                None => write!(f, "{comma}{place}: no answer in time")?,
            }
        }
        Ok(())
    }
}

/// Asks the places in turn, within `time`: the next one as soon as one has failed, or beside it once it had its share of the time.
///
/// # Errors
/// No place gave a good answer.
pub async fn first_good<T, E, F>(
    places: Vec<Url>,
    time: Duration,
    ask: impl Fn(Url) -> F,
) -> Result<(Url, T), Tried<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    // One share more than there are places: the last one has two.
    let share = time / u32::try_from(places.len().saturating_add(1)).unwrap_or(u32::MAX);
    let mut waiting = places.into_iter();
    let mut tried: Vec<(Url, Option<E>)> = Vec::new();
    let search = async {
        // What is still being asked ends when this is dropped.
        let mut asking = JoinSet::new();
        loop {
            if let Some(place) = waiting.next() {
                let (number, answer) = (tried.len(), ask(place.clone()));
                tried.push((place, None));
                asking.spawn(async move { (number, answer.await) });
            }
            match timeout(share, asking.join_next()).await {
                Ok(Some(Ok((number, answer)))) => match (answer, tried.get_mut(number)) {
                    (Ok(good), Some((place, _))) => return Some((place.clone(), good)),
                    (Err(error), Some((_, found))) => *found = Some(error),
                    (_, None) => {}
                },
                Ok(None) => return None,
                // A task that ended in another way has no answer.
                Ok(Some(Err(_))) | Err(_) => {}
            }
        }
    };
    match timeout(time, search).await {
        Ok(Some(good)) => Ok(good),
        Ok(None) | Err(_) => Err(Tried(tried)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    #[test]
    fn well_known_is_inserted_then_appended() {
        let oauth = "/.well-known/oauth-authorization-server";
        let openid = "/.well-known/openid-configuration";
        for (issuer, expected) in [
            ("https://id.test", vec![oauth.to_owned(), openid.to_owned()]),
            ("https://id.test/", vec![oauth.to_owned(), openid.to_owned()]),
            // Okta: where the second place answers. Keycloak is the same with /realms/main.
            (
                "https://id.test/oauth2/default",
                vec![
                    format!("{oauth}/oauth2/default"),
                    format!("/oauth2/default{openid}"),
                    format!("{openid}/oauth2/default"),
                ],
            ),
            // Entra, version 2.
            (
                "https://id.test/6f3a/v2.0",
                vec![
                    format!("{oauth}/6f3a/v2.0"),
                    format!("/6f3a/v2.0{openid}"),
                    format!("{openid}/6f3a/v2.0"),
                ],
            ),
            // Amazon Cognito: one segment.
            (
                "https://id.test/eu-central-1_aBcD",
                vec![
                    format!("{oauth}/eu-central-1_aBcD"),
                    format!("/eu-central-1_aBcD{openid}"),
                    format!("{openid}/eu-central-1_aBcD"),
                ],
            ),
            // Keycloak.
            (
                "https://id.test/realms/main",
                vec![
                    format!("{oauth}/realms/main"),
                    format!("/realms/main{openid}"),
                    format!("{openid}/realms/main"),
                ],
            ),
            // Entra, version 1: a slash at the end.
            (
                "https://id.test/6f3a/",
                vec![format!("{oauth}/6f3a"), format!("/6f3a{openid}"), format!("{openid}/6f3a")],
            ),
        ] {
            let found: Vec<_> =
                well_known(&Url::parse(issuer).unwrap()).into_iter().map(String::from).collect();
            let expected: Vec<_> = expected.iter().map(|path| format!("https://id.test{path}")).collect();
            assert_eq!(found, expected, "{issuer}");
        }
    }

    fn places() -> Vec<Url> {
        ["https://a.test/", "https://b.test/", "https://c.test/"].map(|url| Url::parse(url).unwrap()).to_vec()
    }

    #[tokio::test]
    async fn a_place_that_hangs_does_not_take_the_time_of_the_next() {
        let ask = |place: Url| async move {
            match place.host_str() {
                Some("a.test") => std::future::pending().await,
                Some("b.test") => Err("no"),
                _ => Ok(1),
            }
        };
        let (place, found) = first_good(places(), Duration::from_secs(4), ask).await.unwrap();
        assert_eq!((place.as_str(), found), ("https://c.test/", 1));
    }

    #[tokio::test]
    async fn a_slow_place_still_counts() {
        let others = Arc::new(Semaphore::new(0));
        let ask = |place: Url| {
            let others = Arc::clone(&others);
            async move {
                if place.host_str() == Some("a.test") {
                    return others.acquire_many(2).await.map(drop).map_err(|_| "closed");
                }
                others.add_permits(1);
                Err("no")
            }
        };
        let (place, ()) = first_good(places(), Duration::from_secs(4), ask).await.unwrap();
        assert_eq!(place.as_str(), "https://a.test/");
    }

    #[tokio::test]
    async fn what_was_found_is_told_for_each_place() {
        let ask = |place: Url| async move {
            match place.host_str() {
                Some("b.test") => std::future::pending::<Result<(), _>>().await,
                _ => Err("a page"),
            }
        };
        let tried = first_good(places(), Duration::from_secs(2), ask).await.unwrap_err();
        let told = "https://a.test/: a page; https://b.test/: no answer in time; https://c.test/: a page";
        assert_eq!(tried.to_string(), told);
    }
}
