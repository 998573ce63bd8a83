//! Interim answers (1xx): how many a server may send before its final one. They are counted in the bytes, since a callback of hyper's for each
//! request would cost each of them allocations.

use crate::net::MAX_INTERIM;

/// Where the digits of the status stand in `HTTP/1.1 200 OK`.
const FIRST: u8 = 9;
const SECOND: u8 = 10;
const THIRD: u8 = 11;

/// Reads along with what an HTTP/1.1 server sends, up to the head of its final answer, and counts the interim ones. Whether what it reads is
/// HTTP at all is for the real reader to say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InterimCount {
    part: AnswerPart,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
enum AnswerPart {
    /// In a status line, of which so many bytes came.
    StatusLine(u8),
    /// In the rest of an interim answer's head; the line so far has no byte.
    Interim { line_is_empty: bool },
    /// Behind the last interim answer.
    Final,
}

impl Default for AnswerPart {
    fn default() -> Self {
        Self::StatusLine(0)
    }
}

/// More interim answers than [`MAX_INTERIM`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_INTERIM} interim answers (1xx)")]
pub(super) struct TooManyInterim;

impl InterimCount {
    /// Reads the next bytes of the answer. Costs next to nothing once the final answer has begun.
    ///
    /// # Errors
    /// [`TooManyInterim`]: one more than are taken has begun.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), TooManyInterim> {
        for byte in bytes {
            self.part = match (self.part, byte) {
                (AnswerPart::Final, _) => return Ok(()),
                // Empty lines before a status line are skipped, as the real reader does.
                (AnswerPart::StatusLine(0), b'\r' | b'\n') => AnswerPart::StatusLine(0),
                (AnswerPart::StatusLine(FIRST), b'1') => AnswerPart::StatusLine(SECOND),
                (AnswerPart::StatusLine(FIRST), _) => AnswerPart::Final,
                (AnswerPart::StatusLine(SECOND), b'0') => AnswerPart::StatusLine(THIRD),
                // What follows a 101 is no HTTP (RFC 9110 section 15.2.2).
                (AnswerPart::StatusLine(THIRD), b'1') => AnswerPart::Final,
                (AnswerPart::StatusLine(SECOND | THIRD), _) => self.interim()?,
                (AnswerPart::StatusLine(came), _) => AnswerPart::StatusLine(came.saturating_add(1)),
                (AnswerPart::Interim { line_is_empty: true }, b'\n') => AnswerPart::StatusLine(0),
                (AnswerPart::Interim { .. }, b'\n') => AnswerPart::Interim { line_is_empty: true },
                (same @ AnswerPart::Interim { .. }, b'\r') => same,
                (AnswerPart::Interim { .. }, _) => AnswerPart::Interim { line_is_empty: false },
            };
        }
        Ok(())
    }

    fn interim(&mut self) -> Result<AnswerPart, TooManyInterim> {
        self.count = self.count.saturating_add(1);
        if self.count > MAX_INTERIM {
            Err(TooManyInterim)
        } else {
            Ok(AnswerPart::Interim { line_is_empty: false })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    const FINAL: &str = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 103 in the body\r\n\r\n";

    /// Reads the text in pieces of this size.
    fn read(text: &str, piece: usize) -> Result<(), TooManyInterim> {
        let mut count = InterimCount::default();
        text.as_bytes().chunks(piece).try_for_each(|bytes| count.read(bytes))
    }

    #[test]
    fn thirty_two_are_taken_however_they_come_in_pieces() {
        for interim in [INTERIM, "HTTP/1.1 100 Continue\n\n", "HTTP/1.0 199 x\r\nA: 1\r\n\n"] {
            for piece in [1, 2, 7, 64, 100_000] {
                assert_eq!(read(&format!("{}{FINAL}", interim.repeat(32)), piece), Ok(()));
                assert_eq!(read(&interim.repeat(33), piece), Err(TooManyInterim));
            }
        }
    }

    #[test]
    fn what_follows_a_switch_of_protocols_does_not_count() {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(read(&format!("{INTERIM}{switch}{}", INTERIM.repeat(50)), 10), Ok(()));
    }

    #[test]
    fn what_is_in_a_body_does_not_count() {
        assert_eq!(read(&format!("{FINAL}{}", INTERIM.repeat(50)), 10), Ok(()));
    }
}
