//! Real fronts before a real API, with the configurations that are shipped in `deploy/front`: the same table of cases for each.
//!
//! `tests/run` installs them. One that is not there is skipped, visibly; with `CI=true` that is a failure.

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod front;
#[cfg(test)]
mod gateway_api;
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

    #[tokio::test]
    async fn caddy() {
        table::holds(&kinds::CADDY).await;
    }

    #[tokio::test]
    async fn caddy_new() {
        table::holds(&kinds::CADDY_NEW).await;
    }

    #[tokio::test]
    async fn traefik() {
        table::holds(&kinds::TRAEFIK).await;
    }

    #[tokio::test]
    async fn haproxy() {
        table::holds(&kinds::HAPROXY).await;
        table::nobody_passes(&kinds::HAPROXY_BROKEN).await;
    }

    #[tokio::test]
    async fn envoy() {
        table::holds(&kinds::ENVOY).await;
    }

    #[tokio::test]
    async fn envoy_over_grpc() {
        table::holds(&kinds::ENVOY_GRPC).await;
        table::proofs_are_refused(&kinds::ENVOY_GRPC_JOINING).await;
    }
}

/// Those that end TLS name their client's certificate.
#[cfg(test)]
mod ends_tls {
    use super::certificates;

    #[tokio::test]
    async fn nginx() {
        certificates::are_believed(&certificates::NGINX).await;
    }

    #[tokio::test]
    async fn nginx_that_asks() {
        certificates::are_believed(&certificates::NGINX_ASKS).await;
    }

    #[tokio::test]
    async fn haproxy() {
        certificates::are_believed(&certificates::HAPROXY).await;
    }

    #[tokio::test]
    async fn caddy() {
        certificates::are_believed(&certificates::CADDY).await;
    }

    #[tokio::test]
    async fn caddy_new() {
        certificates::are_believed(&certificates::CADDY_NEW).await;
    }

    #[tokio::test]
    async fn envoy() {
        certificates::are_believed(&certificates::ENVOY).await;
    }

    #[tokio::test]
    async fn envoy_over_grpc() {
        certificates::are_believed(&certificates::ENVOY_GRPC).await;
    }
}

/// `keyproof doctor` through each of them, broken on purpose.
#[cfg(test)]
mod broken {
    use super::doctor;

    #[tokio::test]
    async fn nginx_that_asks() {
        doctor::finds(&doctor::NGINX_ASKS).await;
    }

    #[tokio::test]
    async fn nginx_that_forwards() {
        doctor::finds(&doctor::NGINX_FORWARDS).await;
    }

    #[tokio::test]
    async fn caddy_that_asks() {
        doctor::finds(&doctor::CADDY_ASKS).await;
    }

    #[tokio::test]
    async fn caddy_that_forwards() {
        doctor::finds(&doctor::CADDY_FORWARDS).await;
    }

    #[tokio::test]
    async fn traefik_that_asks() {
        doctor::finds(&doctor::TRAEFIK_ASKS).await;
    }

    #[tokio::test]
    async fn traefik_that_forwards() {
        doctor::finds(&doctor::TRAEFIK_FORWARDS).await;
    }

    #[tokio::test]
    async fn haproxy_that_asks() {
        doctor::finds(&doctor::HAPROXY_ASKS).await;
    }

    #[tokio::test]
    async fn haproxy_that_forwards() {
        doctor::finds(&doctor::HAPROXY_FORWARDS).await;
    }

    #[tokio::test]
    async fn envoy_that_asks() {
        doctor::finds(&doctor::ENVOY_ASKS).await;
    }

    #[tokio::test]
    async fn envoy_that_asks_over_grpc() {
        doctor::finds(&doctor::ENVOY_ASKS_OVER_GRPC).await;
    }

    #[tokio::test]
    async fn envoy_that_forwards() {
        doctor::finds(&doctor::ENVOY_FORWARDS).await;
    }
}
