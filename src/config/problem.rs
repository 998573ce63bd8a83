//! What is wrong with a configuration file, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// One problem (or warning): shown as `FILE:LINE:COLUMN: where: what; help`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// Which setting, as `routes[0].match.path`; empty: the file as a whole.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

/// All problems of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { "file" } else { &self.place };
        write!(
            f,
            "{}:{}:{}: {place}: {}; {}",
            self.file.display(),
            self.line,
            self.column,
            self.what,
            self.help
        )
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, problem) in self.0.iter().enumerate() {
            if count > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A setting's place in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
    /// `routes[0].match.path`
    pub(super) path: String,
    /// Whether it was written, rather than filled in with its default.
    pub(super) given: bool,
}

impl Position {
    /// The setting `key` of the section here, at its own position.
    pub(super) fn key(&self, key: &str, line: usize, column: usize) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { line, column, path, given: true }
    }

    /// The setting `key` of the section here, which was not written.
    pub(super) fn absent(&self, key: &str) -> Self {
        Self { given: false, ..self.key(key, self.line, self.column) }
    }

    /// The element `index` of the list here.
    pub(super) fn element(&self, index: usize, line: usize, column: usize) -> Self {
        Self { line, column, path: format!("{}[{index}]", self.path), given: self.given }
    }
}

/// Collects problems and warnings while a file is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    file: PathBuf,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Findings {
    /// Nothing found yet in this file.
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, ..Self::default() }
    }

    /// Notes something that must be mended.
    pub(super) fn problem(&mut self, place: &Position, what: impl Into<String>, help: impl Into<String>) {
        let problem = self.make(place, what.into(), help.into());
        self.problems.push(problem);
    }

    /// Notes something that should be known.
    pub(super) fn warn(&mut self, place: &Position, what: impl Into<String>, help: impl Into<String>) {
        let warning = self.make(place, what.into(), help.into());
        self.warnings.push(warning);
    }

    /// The problems, in file order, or else `value` and the warnings.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<(T, Vec<Problem>), Problems> {
        let order = |a: &Problem, b: &Problem| (a.line, a.column).cmp(&(b.line, b.column));
        self.problems.sort_by(order);
        self.warnings.sort_by(order);
        match value {
            Some(value) if self.problems.is_empty() => Ok((value, self.warnings)),
            _ => Err(Problems(self.problems)),
        }
    }

    /// Whether a problem of this setting was found.
    pub(super) fn has(&self, place: &Position) -> bool {
        self.problems.iter().any(|problem| problem.place == place.path)
    }

    /// Whether a problem was found.
    pub(super) fn any(&self) -> bool {
        !self.problems.is_empty()
    }

    fn make(&self, place: &Position, what: String, help: String) -> Problem {
        Problem {
            file: self.file.clone(),
            line: place.line,
            column: place.column,
            place: place.path.clone(),
            what,
            help,
        }
    }
}
