//! Until when a stream may run: a route can have it end with its token.

use crate::clock::{Clock, UnixTime};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How often the clock is looked at: it may be set meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// What the log says of a stream that was cut: a fixed text, which begins with a word for programs.
pub(super) const EXPIRED: &str = "token_expired: the stream outlived the token that opened it";

/// Ready at a time by the clock.
#[derive(Debug)]
pub(super) struct Until {
    clock: Clock,
    end: UnixTime,
    look: Pin<Box<Sleep>>,
}

impl Until {
    pub(super) fn new(clock: Clock, end: UnixTime) -> Box<Self> {
        Box::new(Self { clock, end, look: Box::pin(tokio::time::sleep(Duration::ZERO)) })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            let left = self.end.since(self.clock.now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(Instant::now() + left.min(LOOK));
        }
    }
}
