//! Real fronts before a real API, with the configurations that are shipped in `deploy/front`: the same table of cases for each.
//!
//! `tests/run` installs them. One that is not there is skipped, visibly; with `CI=true` that is a failure.

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod front;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod table;

#[cfg(test)]
mod each {
    use super::{kinds, table};

    #[tokio::test]
    async fn nginx() {
        table::holds(&kinds::NGINX).await;
    }
}
