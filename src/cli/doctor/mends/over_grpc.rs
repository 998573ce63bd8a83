//! Where the front asks keyproof over gRPC (`mode: ext_authz_grpc`), as in `deploy/front/envoy-grpc.yaml`: Envoy, whoever has set it up.

use super::Mend::{self, Know, Without, Write};
use crate::cli::doctor::Cause;

/// What mends each.
pub(super) const TABLE: &[(&[Cause], Mend)] = &[
    (
        &[Cause::Host, Cause::Port],
        Without(
            "http_connection_manager",
            "strip_any_host_port: true, and a filter before ext_authz that sets :authority",
        ),
    ),
    (
        &[Cause::PrefixStripped, Cause::PrefixAdded, Cause::Path, Cause::Query],
        Without(
            "http_connection_manager",
            "normalize_path: true, merge_slashes: true, and a filter before ext_authz that sets :path (prefix_rewrite comes later and is none)",
        ),
    ),
    (
        &[Cause::Scheme],
        Write(
            "http_connection_manager, where TLS ends before Envoy",
            "scheme_header_transformation: { scheme_to_overwrite: https }",
        ),
    ),
    (
        &[Cause::Method],
        Know("ext_authz asks with the request's own method: look for a filter before it that sets :method"),
    ),
    (
        &[Cause::ProofLost],
        Without(
            "ext_authz, and before it",
            "allowed_headers without dpop, disallowed_headers with it (no such lists pass everything on), a filter that removes it",
        ),
    ),
    (
        &[Cause::AuthorizationLost],
        Without(
            "ext_authz, and before it",
            "allowed_headers without authorization, disallowed_headers with it (no such lists pass everything on), a filter that removes it",
        ),
    ),
    (&[Cause::ProofJoined], Write("ext_authz", "encode_raw_headers: true")),
    (
        &[Cause::NonceLost],
        Without(
            "the route and the filters before ext_authz",
            "what removes dpop-nonce (ext_authz passes it on by itself)",
        ),
    ),
    (
        &[Cause::ChallengeLost],
        Without(
            "the route and the filters before ext_authz",
            "what removes www-authenticate (ext_authz passes it on by itself)",
        ),
    ),
    (
        &[Cause::ExposedLost],
        Without(
            "the route and the filters before ext_authz",
            "cors, and what removes access-control-… (keyproof answers browsers)",
        ),
    ),
    (&[Cause::AskedTwice], Without("grpc_service of ext_authz", "retry_policy")),
    (
        &[Cause::Status],
        Without(
            "ext_authz",
            "status_on_error for what keyproof answered: it did not answer in time, see timeout",
        ),
    ),
    (&[Cause::Obeyed], Without("ext_authz", "failure_mode_allow: true")),
    (
        &[Cause::Described],
        Know(
            "ext_authz describes each request by itself: look for what changes :authority, :path or :method before it, or for another version than transport_api_version: V3",
        ),
    ),
];
