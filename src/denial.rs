//! Every way to be refused, and the one table that says what each of them means on the wire and in the metrics.
//!
//! The rooms keep errors of their own, in their own words; [`Denial`] wraps them, and [`Denial::row`] is the only place that knows
//! statuses, error codes and metric labels. A new reason does not compile until it has a row here and a case in `tests/support/reasons.rs`.

use crate::dpop::ProofError;
use crate::token::TokenError;
use crate::uri::PathError;
use http::StatusCode;

/// Why a request is refused. Its `Display` is the `error_description`: a fixed text, with nothing in it that a client wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denial {
    /// How a front describes the request that it asks about.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The request's authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The request's path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The request target is longer than 8 KiB.
    #[error("the request target is too long")]
    TargetTooLong,
    /// No route for this path.
    #[error("no route leads here")]
    NoRoute,
    /// No route for this method, or TRACE, or CONNECT.
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// How the token was sent.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The access token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Whether token, scheme and route go together.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The proof is missing or not exactly one.
    #[error(transparent)]
    ProofCount(#[from] ProofCountError),
    /// The proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A scope the route needs is missing.
    #[error("the access token lacks a scope")]
    InsufficientScope,
    /// The replay store's answer.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// What the client asks for is not built.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedError),
    /// The client's body is badly framed, broke off, or came too slowly.
    #[error("the request's body is badly framed or incomplete")]
    Body,
    /// It brought a mark of `keyproof doctor`: it was sent to be looked at, and shows how a challenge gets back.
    #[error("this request was sent to be looked at")]
    Marked,
}

/// Why a front that asks for a decision gets none: whatever it leaves open could be the client's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DescriptionError {
    /// The peer is none of the listener's `trusted_proxies`.
    #[error("this peer may not ask for decisions")]
    Untrusted,
    /// A field is not there.
    #[error("the description of the request is incomplete")]
    Missing,
    /// A field is there more than once.
    #[error("a field that describes the request is repeated")]
    Repeated,
    /// A field cannot be what it should say.
    #[error("a field that describes the request is malformed")]
    Malformed,
    /// Two fields say different things.
    #[error("the fields that describe the request contradict each other")]
    Contradictory,
}

/// What is wrong with a request's authority (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthorityError {
    /// None, more than one, not valid, or `Host` and `:authority` differ.
    #[error("the request has not exactly one valid authority")]
    Invalid,
    /// None of ours.
    #[error("this authority is not served here")]
    Unknown,
}

/// What is wrong with the way the token was sent (RFC 9449 section 7.2, RFC 6750 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CredentialsError {
    /// None, or a scheme that is neither DPoP nor Bearer.
    #[error("an access token is needed")]
    Missing,
    /// Two `Authorization` lines.
    #[error("more than one Authorization header")]
    Repeated,
    /// A header and `access_token` in the query.
    #[error("the access token was sent in more than one way")]
    TwoWays,
    /// No `scheme token68`.
    #[error("the Authorization header is malformed")]
    Malformed,
}

/// Token, scheme, key and route do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BindingError {
    /// A bound token under `Bearer` (RFC 9449 section 7.2).
    #[error("a DPoP-bound access token was sent as a Bearer token")]
    Downgrade,
    /// A Bearer token on a route that takes none.
    #[error("Bearer tokens are not accepted here")]
    BearerNotAccepted,
    /// A DPoP-bound token on a route that takes none.
    #[error("DPoP-bound access tokens are not accepted here")]
    DpopNotAccepted,
    /// A token that a certificate alone binds, on a route that takes none.
    #[error("certificate-bound access tokens are not accepted here")]
    MtlsNotAccepted,
    /// A token that is not bound to a key under the `DPoP` scheme (RFC 9449 section 7.1).
    #[error("the access token is not bound to a DPoP key")]
    Unbound,
    /// The proof's key is not `cnf.jkt` (RFC 9449 section 4.3 check 12).
    #[error("the proof's key is not the one the access token is bound to")]
    Key,
    /// The token is bound to a certificate, and none was shown (RFC 8705 section 3).
    #[error("the access token is bound to a client certificate, and none was shown")]
    CertificateMissing,
    /// The certificate is not the one of `cnf.x5t#S256` (RFC 8705 section 3).
    #[error("the client certificate is not the one the access token is bound to")]
    Certificate,
    /// A claim cannot become an identity header.
    #[error("a claim of the access token cannot be a header value")]
    Identity,
}

impl BindingError {
    /// Whether a signature may have been checked before this was found out: key and certificate are compared after the proof was verified.
    const fn cost_a_signature(self) -> bool {
        match self {
            Self::Key | Self::CertificateMissing | Self::Certificate | Self::Identity => true,
            Self::Downgrade
            | Self::BearerNotAccepted
            | Self::DpopNotAccepted
            | Self::MtlsNotAccepted
            | Self::Unbound => false,
        }
    }
}

/// Not exactly one proof (RFC 9449 section 4.3 check 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProofCountError {
    /// None.
    #[error("a DPoP proof is needed")]
    Missing,
    /// Two `DPoP` lines, or a comma in one.
    #[error("more than one DPoP proof")]
    Several,
}

/// The replay store did not say "fresh".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReplayError {
    /// Used before (RFC 9449 section 11.1).
    #[error("the proof was used before")]
    Replayed,
    /// It could have been used before the moment since which the store is complete: a nonce from after it will tell.
    #[error("the proof must carry a fresh nonce")]
    Unknowable,
    /// The same, where the configuration waits at the start instead of asking for a nonce.
    #[error("the proof is from before the gateway's start")]
    BeforeStart,
    /// The store is full.
    #[error("too many live proofs")]
    Full,
    /// This key, or the token's subject, has too many live proofs.
    #[error("too many proofs of one key")]
    OverQuota,
    /// The store cannot be asked.
    #[error("used proofs cannot be looked up")]
    Unavailable,
}

/// What is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnsupportedError {
    /// A WebSocket handshake (RFC 6455) on a route that does not list it among its upgrades.
    #[error("WebSocket is not supported here")]
    WebSocket,
}

/// What a refusal is on the wire: its kind, and the reason's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which kind of refusal.
    pub kind: Kind,
    /// The label in metrics and log.
    pub label: &'static str,
}

/// The kinds of refusal that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request has no single meaning.
    BadRequest,
    /// 414.
    TargetTooLong,
    /// 421.
    Misdirected,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 401, with challenges that name no error (RFC 6750 section 3.1).
    Unauthorized,
    /// 400, with the error in the challenge of every scheme the route takes.
    InvalidRequest,
    /// 401, with the error in the challenge of the scheme that was used.
    InvalidToken,
    /// 401, in the DPoP challenge.
    InvalidProof,
    /// 401, in the DPoP challenge, with a nonce (RFC 9449 section 9).
    UseNonce,
    /// 403, in the challenge of the scheme that was used, with the scopes.
    InsufficientScope,
    /// 403: whoever asks may not.
    Forbidden,
    /// 503: our trouble, not the client's; it should keep its token and try again.
    Unavailable,
    /// 429.
    TooManyRequests,
    /// 501.
    NotImplemented,
}

impl Kind {
    /// The status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized | Self::InvalidToken | Self::InvalidProof | Self::UseNonce => {
                StatusCode::UNAUTHORIZED
            }
            Self::InsufficientScope | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// `error` in the body, and in the challenge where there is one.
    pub const fn error(self) -> &'static str {
        match self {
            Self::BadRequest | Self::TargetTooLong | Self::InvalidRequest => "invalid_request",
            Self::Misdirected => "misdirected_request",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthorized => "unauthorized",
            Self::InvalidToken => "invalid_token",
            Self::InvalidProof => "invalid_dpop_proof",
            Self::UseNonce => "use_dpop_nonce",
            Self::InsufficientScope => "insufficient_scope",
            Self::Forbidden => "access_denied",
            Self::Unavailable => "temporarily_unavailable",
            Self::TooManyRequests => "too_many_requests",
            Self::NotImplemented => "not_implemented",
        }
    }

    /// `Retry-After`, in seconds.
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Unavailable => Some(1),
            Self::TooManyRequests => Some(10),
            Self::BadRequest
            | Self::TargetTooLong
            | Self::Misdirected
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Unauthorized
            | Self::InvalidRequest
            | Self::InvalidToken
            | Self::InvalidProof
            | Self::UseNonce
            | Self::InsufficientScope
            | Self::Forbidden
            | Self::NotImplemented => None,
        }
    }
}

impl Denial {
    /// Whether a signature was checked before this was found out. Each room says it of its own errors, where it knows its order.
    pub const fn cost_a_signature(self) -> bool {
        match self {
            Self::Token(error) => error.cost_a_signature(),
            Self::Proof(error) => error.cost_a_signature(),
            Self::Binding(error) => error.cost_a_signature(),
            Self::Replay(_) | Self::InsufficientScope => true,
            Self::Description(_)
            | Self::Authority(_)
            | Self::Path(_)
            | Self::TargetTooLong
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::Credentials(_)
            | Self::ProofCount(_)
            | Self::Unsupported(_)
            | Self::Body
            | Self::Marked => false,
        }
    }

    /// The table. Every reason, its kind and its label.
    pub const fn row(self) -> Row {
        let (kind, label) = match self {
            Self::Description(error) => description_row(error),
            Self::Authority(AuthorityError::Invalid) => (Kind::BadRequest, "authority_invalid"),
            Self::Authority(AuthorityError::Unknown) => (Kind::Misdirected, "authority_unknown"),
            Self::Path(error) => (Kind::BadRequest, path_label(error)),
            Self::TargetTooLong => (Kind::TargetTooLong, "target_too_long"),
            Self::NoRoute => (Kind::NotFound, "no_route"),
            Self::MethodNotAllowed => (Kind::MethodNotAllowed, "method_not_allowed"),
            Self::Credentials(CredentialsError::Missing) => (Kind::Unauthorized, "no_credentials"),
            Self::Credentials(CredentialsError::Repeated) => (Kind::InvalidRequest, "authorization_repeated"),
            Self::Credentials(CredentialsError::TwoWays) => (Kind::InvalidRequest, "token_two_ways"),
            Self::Credentials(CredentialsError::Malformed) => {
                (Kind::InvalidRequest, "authorization_malformed")
            }
            Self::Token(error) => token_row(error),
            Self::Binding(BindingError::Downgrade) => (Kind::InvalidToken, "downgrade"),
            Self::Binding(BindingError::BearerNotAccepted) => (Kind::InvalidToken, "bearer_not_accepted"),
            Self::Binding(BindingError::DpopNotAccepted) => (Kind::InvalidToken, "dpop_not_accepted"),
            Self::Binding(BindingError::MtlsNotAccepted) => (Kind::InvalidToken, "mtls_not_accepted"),
            Self::Binding(BindingError::Unbound) => (Kind::InvalidToken, "token_unbound"),
            Self::Binding(BindingError::Key) => (Kind::InvalidToken, "key_mismatch"),
            Self::Binding(BindingError::CertificateMissing) => (Kind::InvalidToken, "certificate_missing"),
            Self::Binding(BindingError::Certificate) => (Kind::InvalidToken, "certificate_mismatch"),
            Self::Binding(BindingError::Identity) => (Kind::InvalidToken, "identity_claim"),
            Self::ProofCount(ProofCountError::Missing) => (Kind::InvalidProof, "proof_missing"),
            Self::ProofCount(ProofCountError::Several) => (Kind::InvalidProof, "proof_several"),
            Self::Proof(error) => proof_row(error),
            Self::InsufficientScope => (Kind::InsufficientScope, "insufficient_scope"),
            Self::Replay(ReplayError::Replayed) => (Kind::InvalidProof, "replayed"),
            Self::Replay(ReplayError::Unknowable) => (Kind::UseNonce, "nonce_after_start"),
            Self::Replay(ReplayError::BeforeStart) => (Kind::InvalidProof, "proof_before_start"),
            Self::Replay(ReplayError::Full) => (Kind::Unavailable, "replay_full"),
            Self::Replay(ReplayError::OverQuota) => (Kind::TooManyRequests, "replay_quota"),
            Self::Replay(ReplayError::Unavailable) => (Kind::Unavailable, "replay_unavailable"),
            Self::Unsupported(UnsupportedError::WebSocket) => (Kind::NotImplemented, "websocket_unsupported"),
            Self::Body => (Kind::BadRequest, "body"),
            Self::Marked => (Kind::UseNonce, "doctor"),
        };
        Row { kind, label }
    }

    /// The label in metrics and log: one of a fixed set.
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// The status.
    pub const fn status(self) -> StatusCode {
        self.row().kind.status()
    }
}

const fn description_row(error: DescriptionError) -> (Kind, &'static str) {
    match error {
        DescriptionError::Untrusted => (Kind::Forbidden, "description_untrusted"),
        DescriptionError::Missing => (Kind::BadRequest, "description_missing"),
        DescriptionError::Repeated => (Kind::BadRequest, "description_repeated"),
        DescriptionError::Malformed => (Kind::BadRequest, "description_malformed"),
        DescriptionError::Contradictory => (Kind::BadRequest, "description_contradictory"),
    }
}

const fn path_label(error: PathError) -> &'static str {
    match error {
        PathError::NotAbsolute => "path_not_absolute",
        PathError::DotSegment => "path_dot_segment",
        PathError::EmptySegment => "path_empty_segment",
        PathError::Backslash => "path_backslash",
        PathError::EncodedSlash => "path_encoded_slash",
        PathError::Character => "path_character",
        PathError::Percent => "path_percent",
        PathError::ReadDifferently => "path_read_differently",
    }
}

const fn token_row(error: TokenError) -> (Kind, &'static str) {
    let label = match error {
        TokenError::TooLong => "token_too_long",
        TokenError::Malformed => "token_malformed",
        TokenError::Type => "token_type",
        TokenError::Critical => "token_critical",
        TokenError::Algorithm => "token_algorithm",
        TokenError::TooDeep => "token_too_deep",
        TokenError::TooMany => "token_too_many_members",
        TokenError::ClaimMissing(_) => "token_claim_missing",
        TokenError::ClaimType(_) => "token_claim_type",
        TokenError::Issuer => "token_issuer",
        TokenError::Audience => "token_audience",
        TokenError::Expired => "token_expired",
        TokenError::NotYetValid => "token_not_yet_valid",
        TokenError::IssuedInFuture => "token_from_future",
        TokenError::Confirmation => "token_confirmation",
        TokenError::UnknownKey(_) => "token_unknown_key",
        TokenError::Signature => "token_signature",
        TokenError::KeysUnavailable(_) => return (Kind::Unavailable, "keys_unavailable"),
        TokenError::Inactive => "token_inactive",
        TokenError::Denied(_) => "denied",
        // It is brought before anybody is refused; where nobody brings it, nobody can tell.
        TokenError::NotIntrospected(_) | TokenError::IntrospectionUnavailable(_) => {
            return (Kind::Unavailable, "introspection_unavailable");
        }
        TokenError::IntrospectionBusy(_) => return (Kind::Unavailable, "introspection_busy"),
    };
    (Kind::InvalidToken, label)
}

const fn proof_row(error: ProofError) -> (Kind, &'static str) {
    let label = match error {
        ProofError::TooLong => "proof_too_long",
        ProofError::Malformed => "proof_malformed",
        ProofError::Json => "proof_json",
        ProofError::TooDeep => "proof_too_deep",
        ProofError::TooMany => "proof_too_many_members",
        ProofError::Critical => "proof_critical",
        ProofError::HeaderMember => "proof_header_member",
        ProofError::Claim => "proof_claim",
        ProofError::JtiTooLong => "proof_jti_too_long",
        ProofError::Type => "proof_type",
        ProofError::Algorithm => "proof_algorithm",
        ProofError::PrivateKey => "proof_private_key",
        ProofError::Key => "proof_key",
        ProofError::KeyAlgorithm => "proof_key_algorithm",
        ProofError::Signature => "proof_signature",
        ProofError::Htm => "proof_htm",
        ProofError::HtuInvalid => "proof_htu_invalid",
        ProofError::Htu => "proof_htu",
        ProofError::NonceMissing => return (Kind::UseNonce, "nonce_missing"),
        ProofError::NonceStale => return (Kind::UseNonce, "nonce_stale"),
        ProofError::IatStale => "proof_iat_stale",
        ProofError::IatFuture => "proof_iat_future",
        ProofError::Expired => "proof_expired",
        ProofError::NotYetValid => "proof_not_yet_valid",
        ProofError::AthMissing => "proof_ath_missing",
        ProofError::Ath => "proof_ath",
    };
    (Kind::InvalidProof, label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_found_after_a_signature_cost_one() {
        let dear: [Denial; 5] = [
            TokenError::Signature.into(),
            ProofError::Signature.into(),
            ProofError::Ath.into(),
            BindingError::Key.into(),
            ReplayError::Replayed.into(),
        ];
        let cheap: [Denial; 5] = [
            CredentialsError::Missing.into(),
            TokenError::Expired.into(),
            ProofError::Htu.into(),
            BindingError::Unbound.into(),
            Denial::NoRoute,
        ];
        assert!(dear.into_iter().all(Denial::cost_a_signature));
        assert!(!cheap.into_iter().any(Denial::cost_a_signature));
    }
}
