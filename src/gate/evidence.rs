//! Evidence that the checks lack and that somebody else can bring.
//!
//! The checks do no I/O, so they may be repeated. Where they fail only because something has not been asked for yet, it is asked for once, the
//! clock is read again, and they are made again.

use super::Gate;
use crate::authorize::{Asked, Policy, Refusal, Verified};
use crate::clock::Moment;
use crate::denial::Denial;
use crate::token::{Introspected, IssuerId, TokenError};
use std::net::IpAddr;

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A key of this issuer that is not in the set we have.
    Key(IssuerId),
    /// What this issuer says of the token (RFC 7662).
    Introspection(IssuerId),
}

/// What came of asking for it.
#[derive(Debug)]
pub(super) enum Brought {
    /// The checks may come out differently now; where they do not, this is why.
    VerifyAgain(Denial),
    /// They are made again with this.
    Introspected(Introspected),
    /// It is missing still: the client's fault only where that is certain.
    Nothing(Denial),
}

impl Needs {
    /// What could make good this refusal.
    pub(super) const fn of(denial: Denial) -> Option<Self> {
        if let Denial::Token(TokenError::UnknownKey(issuer)) = denial {
            return Some(Self::Key(issuer));
        }
        if let Denial::Token(TokenError::NotIntrospected(issuer)) = denial {
            return Some(Self::Introspection(issuer));
        }
        None
    }
}

impl Gate {
    /// Every check but the last. What they lack is brought, each kind once, and they are made again; then `now` is later. `client` is whose
    /// request causes that.
    pub(super) async fn verify(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        client: IpAddr,
        now: &mut Moment,
    ) -> Result<Verified, Refusal> {
        let mut verified = self.authorizer.verify(policy, asked, *now);
        let (mut brought, mut introspected) = (Vec::new(), None);
        while let Err(refusal) = &mut verified
            && let Some(needs) = Needs::of(refusal.denial).filter(|needs| !brought.contains(needs))
        {
            brought.push(needs);
            let evidence = Box::pin(self.bring(needs, asked, client)).await;
            *now = self.clock.moment();
            let missing = match evidence {
                Brought::Nothing(missing) => {
                    refusal.denial = missing;
                    break;
                }
                Brought::VerifyAgain(missing) => Some(missing),
                Brought::Introspected(said) => {
                    introspected = Some(said);
                    None
                }
            };
            let asked = Asked { introspected: introspected.as_ref(), ..*asked };
            verified = self.authorizer.verify(policy, &asked, *now);
            if let (Err(refusal), Some(missing)) = (&mut verified, missing)
                && Needs::of(refusal.denial) == Some(needs)
            {
                refusal.denial = missing;
                break;
            }
        }
        verified
    }

    /// Asks for it, and waits.
    async fn bring(&self, needs: Needs, asked: &Asked<'_>, client: IpAddr) -> Brought {
        let token = asked.token().unwrap_or_default();
        match needs {
            Needs::Key(issuer) => {
                let refreshed = self.keys.refresh(issuer, token).await;
                let missing = refreshed.still_missing(issuer).into();
                if refreshed.verify_again() {
                    Brought::VerifyAgain(missing)
                } else {
                    Brought::Nothing(missing)
                }
            }
            Needs::Introspection(issuer) => match self.introspection.ask(issuer, token, client).await {
                Ok(introspected) => Brought::Introspected(introspected),
                Err(error) => Brought::Nothing(error.into()),
            },
        }
    }
}
