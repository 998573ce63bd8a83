//! Where the front forwards to keyproof.

use super::Mend::{Know, Without, Write};
use super::Row;
use crate::cli::doctor::Cause;

/// For nginx, Caddy, Traefik, HAProxy and Envoy.
pub(super) const TABLE: &[Row] = &[
    (
        &[Cause::Host],
        [
            Write("the location that forwards", "proxy_set_header Host $http_host;"),
            Without("reverse_proxy", "header_up Host … (over http Caddy passes Host on by itself)"),
            Write("the service's loadBalancer", "passHostHeader: true"),
            Without("frontend and backend", "http-request set-header Host …"),
            Without("the route", "host_rewrite_literal, auto_host_rewrite, host_rewrite_header"),
        ],
    ),
    (
        &[Cause::Port],
        [
            Write(
                "the location that forwards",
                "proxy_set_header Host $http_host;    # $host is without the port",
            ),
            Write("reverse_proxy", "header_up Host {http.request.hostport}    # {host} is without the port"),
            Write("the service's loadBalancer", "passHostHeader: true"),
            Without("frontend and backend", "http-request set-header Host %[req.hdr(host),host_only]"),
            Without("http_connection_manager", "strip_any_host_port: true, strip_matching_host_port: true"),
        ],
    ),
    (
        &[Cause::PrefixStripped],
        [
            Write(
                "the location that forwards",
                "proxy_pass http://keyproof;    # no path after the name, no slash either",
            ),
            Without("the site", "handle_path, uri strip_prefix (write handle)"),
            Without("the router's middlewares", "stripPrefix, stripPrefixRegex, replacePathRegex"),
            Without("frontend and backend", "http-request replace-path …, set-path …"),
            Without("the route", "prefix_rewrite, regex_rewrite"),
        ],
    ),
    (
        &[Cause::PrefixAdded],
        [
            Write("the location that forwards", "proxy_pass http://keyproof;    # no path after the name"),
            Without("the site", "rewrite …, uri replace …"),
            Without("the router's middlewares", "addPrefix, replacePath"),
            Without("frontend and backend", "http-request set-path …, replace-path …"),
            Without("the route", "prefix_rewrite, regex_rewrite"),
        ],
    ),
    (
        &[Cause::Path],
        [
            Write(
                "the location that forwards",
                "proxy_pass http://keyproof;    # with a path nginx passes the decoded one on",
            ),
            Without("the site", "uri …, rewrite …, try_files …"),
            Know("Traefik cleans paths first (/a//b, /a/../b): have clients sign the clean spelling"),
            Without("frontend and backend", "http-request normalize-uri …"),
            Write("http_connection_manager", "normalize_path: false"),
        ],
    ),
    (
        &[Cause::Scheme],
        [
            Write(
                "the location that forwards",
                "proxy_pass https://keyproof;    # or only https in public_origins",
            ),
            Write(
                "reverse_proxy",
                "reverse_proxy https://keyproof:8443    # or only https in public_origins",
            ),
            Write("the service's servers", "url: https://keyproof:8443    # or only https in public_origins"),
            Write(
                "backend",
                "server keyproof keyproof:8443 ssl verify required ca-file ca.pem    # or only https in public_origins",
            ),
            Write(
                "the cluster",
                "transport_socket: { name: envoy.transport_sockets.tls, … }    # or only https in public_origins",
            ),
        ],
    ),
    (
        &[Cause::Method],
        [
            Without("the location that forwards", "proxy_method …"),
            Without("the site", "method …, and method in reverse_proxy"),
            Know("no middleware of Traefik's own changes a method: look for a plugin"),
            Without("frontend and backend", "http-request set-method …"),
            Know("no route changes a method: look for a Lua or header mutation filter that sets :method"),
        ],
    ),
    (
        &[Cause::Query],
        [
            Write("the location that forwards", "proxy_pass http://keyproof;    # no path after the name"),
            Without("the site", "rewrite …, uri query …"),
            Without("the router's middlewares", "replacePathRegex, redirectRegex"),
            Without("frontend and backend", "http-request set-uri …, set-query …"),
            Without("the route", "regex_rewrite, path_rewrite_policy"),
        ],
    ),
    (
        &[Cause::ProofLost],
        [
            Without(
                "the location that forwards",
                "proxy_set_header DPoP \"\";, proxy_pass_request_headers off;",
            ),
            Without("the site and reverse_proxy", "request_header -DPoP, header_up -DPoP"),
            Without("customRequestHeaders", "DPoP: \"\""),
            Without("frontend and backend", "http-request del-header DPoP"),
            Without("request_headers_to_remove", "- dpop"),
        ],
    ),
    (
        &[Cause::AuthorizationLost],
        [
            Without("the location that forwards", "proxy_set_header Authorization …;"),
            Without("the site and reverse_proxy", "request_header -Authorization, header_up -Authorization"),
            Without("customRequestHeaders", "Authorization: \"\", and basicAuth with removeHeader"),
            Without("frontend and backend", "http-request del-header Authorization"),
            Without("request_headers_to_remove", "- authorization"),
        ],
    ),
    (
        &[Cause::ProofJoined],
        [
            Without(
                "the location that forwards",
                "proxy_set_header DPoP $http_dpop; (nginx passes DPoP on by itself)",
            ),
            Without("reverse_proxy", "header_up DPoP {header.DPoP} (Caddy passes DPoP on by itself)"),
            Know("no middleware of Traefik's own joins lines: look for a plugin"),
            Without("frontend and backend", "http-request set-header DPoP …"),
            Know("nothing need be changed: a client that sends one line is not concerned"),
        ],
    ),
    (
        &[Cause::NonceLost],
        [
            Without("the location that forwards", "proxy_hide_header DPoP-Nonce;"),
            Without("the site and reverse_proxy", "header -DPoP-Nonce, header_down -DPoP-Nonce"),
            Without("customResponseHeaders", "DPoP-Nonce: \"\""),
            Without("frontend and backend", "http-response del-header DPoP-Nonce"),
            Without("response_headers_to_remove", "- dpop-nonce"),
        ],
    ),
    (
        &[Cause::ChallengeLost],
        [
            Without("the location that forwards", "proxy_hide_header WWW-Authenticate;, error_page 401 …;"),
            Without("the site and reverse_proxy", "header -WWW-Authenticate, header_down WWW-Authenticate …"),
            Without("customResponseHeaders", "WWW-Authenticate: …"),
            Without(
                "frontend and backend",
                "http-response del-header WWW-Authenticate, set-header WWW-Authenticate …",
            ),
            Without("response_headers_to_remove", "- www-authenticate"),
        ],
    ),
    (
        &[Cause::ExposedLost],
        [
            Without(
                "the location that forwards",
                "add_header Access-Control-…;, proxy_hide_header Access-Control-Expose-Headers;",
            ),
            Without("the site and reverse_proxy", "header Access-Control-…, header_down -Access-Control-…"),
            Without("the headers middleware", "accessControl… (keyproof answers browsers)"),
            Without("frontend and backend", "http-response set-header Access-Control-…"),
            Without("the route and its filters", "cors (keyproof answers browsers)"),
        ],
    ),
    (
        &[Cause::AskedTwice],
        [
            Write("the location that forwards", "proxy_next_upstream off;"),
            Without("reverse_proxy", "lb_retries, lb_try_duration"),
            Without("the router's middlewares", "retry"),
            Write("defaults", "retries 0"),
            Without("the route", "retry_policy, request_mirror_policies"),
        ],
    ),
    (
        &[Cause::Status, Cause::Obeyed],
        [
            Without("the location that forwards", "proxy_intercept_errors on;, error_page 401 …;"),
            Without("reverse_proxy", "handle_response, and handle_errors of the site"),
            Without("the router's middlewares", "errors"),
            Without("frontend and backend", "http-response set-status …, errorfile 401 …, http-error …"),
            Without("http_connection_manager", "local_reply_config"),
        ],
    ),
];
