//! The marks that are on their way.

use super::Sighting;
use crate::clock::UnixTime;
use crate::headers::{X_KEYPROOF_DOCTOR, only};
use crate::jose::{Sha256, sha256};
use http::HeaderMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many marks may be on their way.
const MOST: usize = 16;
/// How long a mark lives, in use or not.
const LIFETIME: Duration = Duration::from_secs(60);
/// How 128 bits are written: in hexadecimal, or in base64url.
const LENGTHS: [usize; 2] = [32, 22];

/// The marks, for the life of the process. Without any, a request pays one look at a number.
#[derive(Debug, Default)]
pub struct Marks {
    count: AtomicUsize,
    all: Mutex<Vec<Kept>>,
}

/// A mark that was used just now: what came with it may be kept.
#[derive(Debug)]
pub struct Marked(Sha256);

#[derive(Debug)]
struct Kept {
    /// Only a hash is compared: how long that takes tells nothing of the mark.
    mark: Sha256,
    until: UnixTime,
    /// How often it came.
    times: u32,
    sighting: Option<Box<Sighting>>,
}

/// Why a mark is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// It is not 128 bits in text.
    #[error("a mark is 128 random bits, in hexadecimal or base64url")]
    Malformed,
    /// There is one like it already.
    #[error("this mark is registered already")]
    Known,
    /// Too many are on their way.
    #[error("too many marks at a time")]
    TooMany,
}

/// What is known of a mark.
#[derive(Debug)]
pub enum Told {
    /// Nothing came with it yet.
    NotSeen,
    /// This came, and the mark so often in all.
    Seen(Box<Sighting>, u32),
}

impl Marks {
    /// Expects a request with this mark. `now` is by a clock that nobody sets.
    ///
    /// # Errors
    /// [`NotRegistered`].
    pub fn register(&self, mark: &str, now: UnixTime) -> Result<(), NotRegistered> {
        let is_text = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !LENGTHS.contains(&mark.len()) || !mark.bytes().all(is_text) {
            return Err(NotRegistered::Malformed);
        }
        let mark = sha256(&[mark.as_bytes()]);
        let mut all = self.lock(now);
        if all.iter().any(|kept| kept.mark == mark) {
            return Err(NotRegistered::Known);
        }
        if all.len() >= MOST {
            return Err(NotRegistered::TooMany);
        }
        let until = now.saturating_add(LIFETIME);
        all.push(Kept { mark, until, times: 0, sighting: None });
        self.count.store(all.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether any mark is expected: where none is, nothing else need be asked.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Uses up the mark that this request brings, if there is one. One that comes again is counted, and means nothing more.
    pub fn used_by(&self, headers: &HeaderMap, now: UnixTime) -> Option<Marked> {
        let mark = sha256(&[only(headers, &X_KEYPROOF_DOCTOR).ok()??.as_bytes()]);
        let mut all = self.lock(now);
        let kept = all.iter_mut().find(|kept| kept.mark == mark)?;
        kept.times = kept.times.saturating_add(1);
        (kept.times == 1).then_some(Marked(mark))
    }

    /// Keeps what came with the mark until it is asked for.
    pub fn keep(&self, marked: &Marked, sighting: Sighting, now: UnixTime) {
        if let Some(kept) = self.lock(now).iter_mut().find(|kept| kept.mark == marked.0) {
            kept.sighting = Some(Box::new(sighting));
        }
    }

    /// What came with the mark; told once. `None`: there is no such mark.
    pub fn tell(&self, mark: &str, now: UnixTime) -> Option<Told> {
        let mark = sha256(&[mark.as_bytes()]);
        let mut all = self.lock(now);
        let at = all.iter().position(|kept| kept.mark == mark)?;
        let kept = all.get_mut(at)?;
        let Some(sighting) = kept.sighting.take() else { return Some(Told::NotSeen) };
        let times = kept.times;
        all.swap_remove(at);
        self.count.store(all.len(), Ordering::Relaxed);
        Some(Told::Seen(sighting, times))
    }

    /// The marks that are still alive.
    fn lock(&self, now: UnixTime) -> MutexGuard<'_, Vec<Kept>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|kept| now < kept.until);
        self.count.store(all.len(), Ordering::Relaxed);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sighting::tests::sighting;
    use http::HeaderValue;

    const NOW: UnixTime = UnixTime::from_secs(1000);

    fn mark(number: usize) -> String {
        format!("{number:032x}")
    }

    fn bringing(marks: &[&str]) -> HeaderMap {
        let line = |mark: &&str| (X_KEYPROOF_DOCTOR, HeaderValue::from_str(mark).unwrap());
        marks.iter().map(line).collect()
    }

    #[test]
    fn a_mark_is_used_once_and_what_came_with_it_is_told_once() {
        let (marks, mark) = (Marks::default(), mark(1));
        assert!(!marks.any());
        assert!(marks.used_by(&bringing(&[&mark]), NOW).is_none());
        marks.register(&mark, NOW).unwrap();
        assert!(marks.any());
        assert!(matches!(marks.tell(&mark, NOW), Some(Told::NotSeen)));
        assert!(marks.used_by(&bringing(&[]), NOW).is_none());
        assert!(marks.used_by(&bringing(&[&mark, &mark]), NOW).is_none(), "two lines");
        assert!(marks.used_by(&bringing(&[&mark[1..]]), NOW).is_none(), "another");
        let used = marks.used_by(&bringing(&[&mark]), NOW).unwrap();
        marks.keep(&used, sighting(), NOW);
        assert!(marks.used_by(&bringing(&[&mark]), NOW).is_none(), "again");
        assert_eq!(marks.register(&mark, NOW), Err(NotRegistered::Known));
        assert!(matches!(marks.tell(&mark, NOW), Some(Told::Seen(_, 2))));
        assert!(marks.tell(&mark, NOW).is_none());
        assert!(!marks.any());
    }

    #[test]
    fn sixteen_at_a_time_for_a_minute_each() {
        let marks = Marks::default();
        for number in 0..16 {
            marks.register(&mark(number), NOW).unwrap();
        }
        assert_eq!(marks.register(&mark(16), NOW), Err(NotRegistered::TooMany));
        let later = NOW.saturating_add(Duration::from_secs(60));
        assert!(marks.used_by(&bringing(&[&mark(3)]), later).is_none());
        assert!(!marks.any(), "they are over");
        marks.register(&mark(16), later).unwrap();
    }

    #[test]
    fn a_mark_is_128_bits_in_text() {
        let marks = Marks::default();
        for bad in
            ["", "a", "0123456789abcdef", &"a".repeat(33), &"ä".repeat(16), &" ".repeat(32), &"=".repeat(22)]
        {
            assert_eq!(marks.register(bad, NOW), Err(NotRegistered::Malformed), "{bad:?}");
        }
        marks.register("abcdefghijklmnopqrst-_", NOW).unwrap();
    }
}
