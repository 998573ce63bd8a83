//! Challenges: what `WWW-Authenticate` says (RFC 9449 section 7.1, RFC 6750 section 3).

use super::{Accept, Policy};
use crate::denial::{Denial, Kind};
use crate::headers::AuthScheme;
use crate::jose::Algorithm;
use std::fmt::Write;

/// Writes the challenges of refusals. `algs` is the same in all of them.
#[derive(Clone, Debug)]
pub struct Challenges {
    algs: String,
}

impl Challenges {
    /// Challenges that name these algorithms.
    pub fn new(algorithms: &[Algorithm]) -> Self {
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        Self { algs: names.join(" ") }
    }

    /// One challenge for each scheme the route takes, DPoP first; none for a refusal that is not about authentication.
    pub fn render(&self, policy: &Policy, denial: Denial, used: Option<AuthScheme>) -> Vec<String> {
        let kind = denial.row().kind;
        if !kind.challenges() {
            return Vec::new();
        }
        let with_error = scheme_of_error(kind, policy.accept, used);
        let challenge = |scheme| {
            let error = with_error.covers(scheme).then_some((kind, denial));
            self.challenge(scheme, &policy.scopes, error)
        };
        policy.accept.schemes().map(challenge).collect()
    }

    /// The challenge for DPoP where no route says what is taken.
    pub fn without_route(&self, denial: Denial) -> String {
        self.challenge(AuthScheme::Dpop, &[], Some((denial.row().kind, denial)))
    }

    fn challenge(&self, scheme: AuthScheme, scopes: &[String], error: Option<(Kind, Denial)>) -> String {
        let mut text = format!("{} realm=\"keyproof\"", scheme.name());
        if let Some((kind, denial)) = error {
            // Descriptions are fixed texts without quotes or backslashes, so they need no escaping (RFC 6750 section 3).
            let _ = write!(text, ", error=\"{}\", error_description=\"{denial}\"", kind.error());
            if kind == Kind::InsufficientScope {
                let _ = write!(text, ", scope=\"{}\"", scopes.join(" "));
            }
        }
        if scheme == AuthScheme::Dpop {
            let _ = write!(text, ", algs=\"{}\"", self.algs);
        }
        text
    }
}

/// Which challenges carry the error.
enum ErrorIn {
    None,
    One(AuthScheme),
    All,
}

impl ErrorIn {
    fn covers(&self, scheme: AuthScheme) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => *one == scheme,
            Self::All => true,
        }
    }
}

/// The error goes into the challenge of the scheme that was used, into all where that cannot be told
/// (RFC 9449 section 7.2), and into the one there is where the route does not take the scheme that was used.
fn scheme_of_error(kind: Kind, accept: Accept, used: Option<AuthScheme>) -> ErrorIn {
    match (kind, used) {
        (Kind::Unauthorized, _) => ErrorIn::None,
        (Kind::InvalidProof | Kind::UseNonce, _) => ErrorIn::One(AuthScheme::Dpop),
        (_, Some(scheme)) if accept.schemes().any(|taken| taken == scheme) => ErrorIn::One(scheme),
        (_, _) => ErrorIn::All,
    }
}

impl Kind {
    /// Whether the refusal is about authentication and so carries challenges.
    const fn challenges(self) -> bool {
        match self {
            Self::Unauthorized
            | Self::InvalidRequest
            | Self::InvalidToken
            | Self::InvalidProof
            | Self::UseNonce
            | Self::InsufficientScope => true,
            Self::BadRequest
            | Self::TargetTooLong
            | Self::Misdirected
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Forbidden
            | Self::Unavailable
            | Self::TooManyRequests
            | Self::NotImplemented => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::*;
    use crate::denial::{BindingError, CredentialsError};
    use crate::dpop::{NoncePolicy, ProofError};
    use crate::identity::IdentityMap;

    fn render(bearer: bool, denial: Denial, used: Option<AuthScheme>) -> Vec<String> {
        let policy = Policy {
            accept: Accept { dpop: true, mtls: false, bearer },
            public: false,
            mode: Mode::Enforce,
            nonce: NoncePolicy::Off,
            issuers: vec![],
            introspection: None,
            scopes: vec!["orders:read".to_owned(), "orders:write".to_owned()],
            identity: IdentityMap { headers: vec![] },
        };
        Challenges::new(&[Algorithm::Es256, Algorithm::EdDsa]).render(&policy, denial, used)
    }

    #[test]
    fn the_error_goes_where_the_client_tried() {
        let algs = "algs=\"ES256 EdDSA\"";
        let plain = format!("DPoP realm=\"keyproof\", {algs}");
        let missing = Denial::Credentials(CredentialsError::Missing);
        assert_eq!(render(false, missing, None), std::slice::from_ref(&plain));
        assert_eq!(render(true, missing, None), [plain.clone(), "Bearer realm=\"keyproof\"".to_owned()]);

        let error = "error=\"invalid_token\", error_description=\"a DPoP-bound access token was sent as a Bearer token\"";
        let downgrade = Denial::Binding(BindingError::Downgrade);
        let bearer = format!("Bearer realm=\"keyproof\", {error}");
        assert_eq!(render(true, downgrade, Some(AuthScheme::Bearer)), [plain, bearer]);
        assert_eq!(
            render(false, downgrade, Some(AuthScheme::Bearer)),
            [format!("DPoP realm=\"keyproof\", {error}, {algs}")]
        );

        let repeated = render(true, Denial::Credentials(CredentialsError::Repeated), None);
        assert!(
            repeated.iter().all(|challenge| challenge.contains("error=\"invalid_request\"")),
            "{repeated:?}"
        );

        let proof = render(true, Denial::Proof(ProofError::Htu), Some(AuthScheme::Dpop));
        assert!(
            proof[0].contains("error=\"invalid_dpop_proof\"") && !proof[1].contains("error"),
            "{proof:?}"
        );
    }

    #[test]
    fn a_missing_scope_is_named_from_the_configuration() {
        let challenges = render(false, Denial::InsufficientScope, Some(AuthScheme::Dpop));
        assert!(challenges[0].contains("error=\"insufficient_scope\""));
        assert!(challenges[0].contains("scope=\"orders:read orders:write\""));
    }

    #[test]
    fn trouble_of_ours_is_no_challenge() {
        assert!(render(true, Denial::NoRoute, None).is_empty());
        assert!(
            render(true, Denial::Replay(crate::denial::ReplayError::Full), Some(AuthScheme::Dpop)).is_empty()
        );
    }
}
