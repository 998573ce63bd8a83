//! Evidence that the checks lack and that somebody else can bring.
//!
//! The checks do no I/O, so they may be repeated. Where they fail only because something has not been fetched yet, it is asked for once, the
//! clock is read again, and they are made again.

use super::Gate;
use crate::authorize::{Asked, Refusal};
use crate::denial::Denial;
use crate::token::{IssuerId, TokenError};

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A key of this issuer that is not in the set we have.
    Key(IssuerId),
}

/// What came of asking for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought {
    /// The checks may come out differently now.
    pub(super) verify_again: bool,
    /// The refusal where it is missing still: the client's fault only where that is certain.
    missing: Denial,
}

impl Needs {
    /// What could make good this refusal.
    pub(super) const fn of(denial: Denial) -> Option<Self> {
        if let Denial::Token(TokenError::UnknownKey(issuer)) = denial {
            return Some(Self::Key(issuer));
        }
        None
    }
}

impl Brought {
    /// The refusal after all.
    pub(super) fn still_refused(self, refusal: Refusal) -> Refusal {
        match Needs::of(refusal.denial) {
            Some(_) => Refusal { denial: self.missing, ..refusal },
            None => refusal,
        }
    }
}

impl Gate {
    /// Asks for it, and waits.
    pub(super) async fn bring(&self, needs: Needs, asked: &Asked<'_>) -> Brought {
        match needs {
            Needs::Key(issuer) => {
                let refreshed = self.keys.refresh(issuer, asked.token().unwrap_or_default()).await;
                Brought {
                    verify_again: refreshed.verify_again(),
                    missing: refreshed.still_missing(issuer).into(),
                }
            }
        }
    }
}
