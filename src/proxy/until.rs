//! Until when a stream may run: a route can have it end with its token.

use crate::authorize::Standing;
use crate::clock::{Clock, UnixTime};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How often the clock is looked at, which may be set meanwhile, and the list of what is denied: a change of it is in force within 5 s of the
/// change of its file, streams that run included, and most of that time goes by until the file was seen to be whole.
const LOOK: Duration = Duration::from_secs(1);

/// Why a stream ends with its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has expired.
    Expired,
    /// It is denied.
    Denied,
}

impl End {
    /// What the log says of a stream that was cut: a fixed text, which begins with a word for programs.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Expired => "token_expired: the stream outlived the token that opened it",
            Self::Denied => "denied: the token that opened the stream is denied",
        }
    }
}

/// Ready at a time by the clock, or once the token is denied.
#[derive(Debug)]
pub(super) struct Until {
    clock: Clock,
    /// None: it runs on after that.
    end: Option<UnixTime>,
    standing: Standing,
    look: Pin<Box<Sleep>>,
}

impl Until {
    pub(super) fn new(clock: Clock, end: Option<UnixTime>, standing: Standing) -> Box<Self> {
        // The first look is at once: the token may have been denied while the upstream was waited for.
        Box::new(Self { clock, end, standing, look: Box::pin(tokio::time::sleep(Duration::ZERO)) })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            if self.standing.is_denied() {
                return Poll::Ready(End::Denied);
            }
            let left = self.end.map(|end| end.since(self.clock.now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Poll::Ready(End::Expired);
            }
            self.look.as_mut().reset(Instant::now() + left.map_or(LOOK, |left| left.min(LOOK)));
        }
    }
}
