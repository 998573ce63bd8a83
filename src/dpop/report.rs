//! What `keyproof explain` shows of each check.

/// One check of RFC 9449 section 4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its number in section 4.3, 1 to 12.
    pub number: u8,
    /// What is checked, in a few words.
    pub what: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was expected, and what was found (with the skew in seconds, for the time).
    pub expected: String,
    /// What stood there.
    pub found: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It could not be made: what it needs was not given, or did not parse.
    Skipped,
}
