//! Where the front asks keyproof, as in `deploy/front`.

use super::Mend::{Know, Without, Write};
use super::Row;
use crate::cli::doctor::Cause;

/// For nginx, Caddy, Traefik, HAProxy and Envoy.
pub(super) const TABLE: &[Row] = &[
    (
        &[Cause::Host, Cause::Port],
        [
            Write(
                "location = /_keyproof",
                "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;",
            ),
            Without(
                "the question's reverse_proxy, and before it",
                "header_up X-Forwarded-Host …, request_header Host …",
            ),
            Write("the forwardAuth middleware, before any that sets Host", "trustForwardHeader: false"),
            Write("haproxy-keyproof.lua", "[\"x-forwarded-host\"] = { first(sent[\"host\"]) or \"\" },"),
            Without(
                "http_connection_manager",
                "strip_any_host_port: true, and a filter before ext_authz that sets :authority",
            ),
        ],
    ),
    (
        &[Cause::PrefixStripped, Cause::PrefixAdded, Cause::Path, Cause::Query],
        [
            Write(
                "location = /_keyproof",
                "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;",
            ),
            Write(
                "the question's reverse_proxy, before any rewrite or handle_path",
                "header_up X-Forwarded-Uri {uri}",
            ),
            Write(
                "the router: stripPrefix, addPrefix and the like after keyproof",
                "middlewares: [spoofed, keyproof, credentials]",
            ),
            Write(
                "haproxy-keyproof.lua, called before any set-path",
                "[\"x-forwarded-uri\"] = { txn.sf:pathq() },",
            ),
            Write("http_service of ext_authz", "path_prefix: /check"),
        ],
    ),
    (
        &[Cause::Scheme],
        [
            Write(
                "location = /_keyproof",
                "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;    # https:// for $scheme, where TLS ends before nginx",
            ),
            Write(
                "the question's reverse_proxy, where TLS ends before Caddy",
                "header_up X-Forwarded-Proto https",
            ),
            Write(
                "the entry point, where TLS ends before Traefik",
                "forwardedHeaders: { trustedIPs: [ADDRESS OF WHO ENDS IT] }",
            ),
            Write("frontend, where TLS ends before HAProxy", "http-request set-var(txn.scheme) str(https)"),
            Write(
                "http_connection_manager, where TLS ends before Envoy",
                "scheme_header_transformation: { scheme_to_overwrite: https }",
            ),
        ],
    ),
    (
        &[Cause::Method],
        [
            Write("location = /_keyproof", "proxy_set_header X-Original-Method $request_method;"),
            Write("the question's reverse_proxy", "header_up X-Forwarded-Method {method}"),
            Write("the forwardAuth middleware", "trustForwardHeader: false"),
            Write("haproxy-keyproof.lua", "[\"x-forwarded-method\"] = { txn.sf:method() },"),
            Know(
                "ext_authz asks with the request's own method: look for a filter before it that sets :method",
            ),
        ],
    ),
    (
        &[Cause::ProofLost],
        [
            Without("location = /_keyproof", "proxy_set_header DPoP \"\";, proxy_pass_request_headers off;"),
            Without("the question's reverse_proxy, and before it", "header_up -DPoP, request_header -DPoP"),
            Without(
                "the forwardAuth middleware",
                "authRequestHeaders without DPoP (no such list passes everything on)",
            ),
            Write("haproxy-keyproof.lua", "local asked_with = { \"authorization\", \"dpop\","),
            Write("allowed_headers of ext_authz", "- { exact: dpop, ignore_case: true }"),
        ],
    ),
    (
        &[Cause::AuthorizationLost],
        [
            Without("location = /_keyproof", "proxy_set_header Authorization …;"),
            Without(
                "the question's reverse_proxy, and before it",
                "header_up -Authorization, request_header -Authorization",
            ),
            Without(
                "the forwardAuth middleware",
                "authRequestHeaders without Authorization (no such list passes everything on)",
            ),
            Write("haproxy-keyproof.lua", "local asked_with = { \"authorization\", \"dpop\","),
            Write("allowed_headers of ext_authz", "- { exact: authorization, ignore_case: true }"),
        ],
    ),
    (
        &[Cause::ProofJoined],
        [
            Without(
                "location = /_keyproof",
                "proxy_set_header DPoP $http_dpop; (nginx passes DPoP on by itself)",
            ),
            Without(
                "the question's reverse_proxy",
                "header_up DPoP {header.DPoP} (Caddy passes DPoP on by itself)",
            ),
            Know("no middleware of Traefik's own joins lines: look for a plugin"),
            Write("haproxy-keyproof.lua", "question[name] = lines"),
            Know(
                "Envoy joins the lines for ext_authz: nothing need be changed, a client that sends one line is not concerned",
            ),
        ],
    ),
    (
        &[Cause::NonceLost],
        [
            Write("location @refused", "add_header DPoP-Nonce $decision_nonce always;"),
            Without("the question's reverse_proxy, for refusals", "handle_response, header_down -DPoP-Nonce"),
            Without("customResponseHeaders", "DPoP-Nonce: \"\""),
            Without("frontend", "http-after-response del-header DPoP-Nonce"),
            Write("allowed_client_headers", "- { exact: dpop-nonce, ignore_case: true }"),
        ],
    ),
    (
        &[Cause::ChallengeLost],
        [
            Write("location @refused", "add_header WWW-Authenticate $decision_www_authenticate always;"),
            Without(
                "the question's reverse_proxy, for refusals",
                "handle_response, header_down -WWW-Authenticate",
            ),
            Without("customResponseHeaders", "WWW-Authenticate: …"),
            Without("frontend", "http-after-response del-header WWW-Authenticate"),
            Without(
                "the route and the filters before ext_authz",
                "what removes www-authenticate (ext_authz passes it on by itself)",
            ),
        ],
    ),
    (
        &[Cause::ExposedLost],
        [
            Write("location @refused", "add_header Access-Control-Expose-Headers $decision_exposed always;"),
            Without(
                "the question's reverse_proxy and the site",
                "header Access-Control-…, header_down -Access-Control-…",
            ),
            Without("the headers middleware", "accessControl… (keyproof answers browsers)"),
            Without("frontend", "http-after-response del-header Access-Control-Expose-Headers"),
            Write("allowed_client_headers", "- { prefix: access-control-, ignore_case: true }"),
        ],
    ),
    (
        &[Cause::AskedTwice],
        [
            Write(
                "location = /_keyproof; auth_request only where the request ends, not where try_files or error_page lead on",
                "proxy_next_upstream off;",
            ),
            Without("the question's reverse_proxy", "lb_retries, lb_try_duration"),
            Without("the router's middlewares, before keyproof", "retry"),
            Write("defaults", "retries 0"),
            Without("http_service of ext_authz", "retry_policy"),
        ],
    ),
    (
        &[Cause::Status],
        [
            Write("the location that asks", "error_page 401 403 500 = @refused;"),
            Without("the question's reverse_proxy, for refusals", "handle_response"),
            Without("the router's middlewares", "errors"),
            Write("haproxy-keyproof.lua", "return refuse(txn, answer.status, answer.headers, answer.body)"),
            Without(
                "ext_authz",
                "status_on_error for what keyproof answered: it did not answer in time, see timeout",
            ),
        ],
    ),
    (
        &[Cause::Obeyed],
        [
            Write("the location that forwards to the API", "auth_request /_keyproof;"),
            Write("the question's reverse_proxy", "@good status 200"),
            Write("the router", "middlewares: [spoofed, keyproof, credentials]"),
            Write("frontend", "http-request lua.keyproof if !{ var(txn.preflight) -m bool }"),
            Without("ext_authz", "failure_mode_allow: true"),
        ],
    ),
    (
        &[Cause::Described],
        [
            Write(
                "location = /_keyproof",
                "proxy_set_header X-Original-Method $request_method;    # and X-Original-URL below it",
            ),
            Write(
                "the question's reverse_proxy",
                "header_up X-Forwarded-Method {method}    # and X-Forwarded-Uri below it",
            ),
            Write(
                "the forwardAuth middleware, with X-Original-* removed before it",
                "middlewares: [spoofed, keyproof, credentials]",
            ),
            Write("haproxy-keyproof.lua", "[\"x-forwarded-method\"] = { txn.sf:method() },"),
            Write("http_service of ext_authz", "path_prefix: /check"),
        ],
    ),
];
