//! Whom the operator denies: a file with an entry on each line.

use super::files;
use crate::config::document::Document;
use crate::config::problem::Findings;
use crate::config::read::quoted;
use crate::config::reading::Files;
use crate::jose::Thumbprint;
use crate::names::{IssuerId, Register};
use crate::token::{DenyList, Entry};
use std::path::PathBuf;
use std::sync::Arc;

/// How many bad lines are shown: a file of another kind has no good one.
const SHOWN: usize = 20;

/// The file and what it says.
#[derive(Clone, Debug)]
pub struct DeniedPlan {
    /// The file.
    pub file: PathBuf,
    /// All that is denied.
    pub list: Arc<DenyList>,
}

/// What is wrong with a line, and what to do about it.
type Fault = (String, &'static str);

/// Reads `denied_file`, if there is one. Which issuers there are was read before.
pub(super) fn plan(
    document: &Document,
    files: &Files<'_>,
    ids: &mut Register<IssuerId>,
    findings: &mut Findings,
) -> Option<DeniedPlan> {
    let name = document.denied_file.as_ref()?;
    let (file, contents) = files::read(name, files, findings)?;
    let shown = name.value.escape_debug();
    let Ok(text) = std::str::from_utf8(&contents) else {
        findings.problem(&name.place, format!("{shown} is not UTF-8"), "save the file as UTF-8");
        return None;
    };
    let mut issuer = |name: &str| {
        let mut names = document.issuers.items.iter().filter_map(|issuer| issuer.name.as_ref());
        names.any(|known| known.value == name).then(|| ids.id(name))
    };
    let (mut entries, mut faults) = (Vec::new(), 0_usize);
    for (number, line) in (1_usize..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        match entry(line, &mut issuer) {
            Ok(entry) => entries.extend(entry),
            Err((what, help)) => {
                faults = faults.saturating_add(1);
                if faults <= SHOWN {
                    findings.problem(&name.place, format!("{shown}:{number}: {what}"), help);
                }
            }
        }
    }
    if faults > SHOWN {
        let what = format!("{shown} has {faults} lines that are no entries, of which {SHOWN} are shown");
        findings.problem(&name.place, what, "see whether it is the right file");
    }
    if faults == 0 && entries.is_empty() && !text.lines().any(says_empty) {
        // So is one that was cut off, or is still to be written.
        let help = "write \"# empty\" on a line of its own where nobody is to be denied";
        findings.problem(&name.place, format!("{shown} has no entry"), help);
        return None;
    }
    (faults == 0).then(|| DeniedPlan { file, list: Arc::new(entries.into_iter().collect()) })
}

/// The comment that stands for no entry at all.
fn says_empty(line: &str) -> bool {
    line.trim().strip_prefix('#').is_some_and(|comment| comment.trim() == "empty")
}

/// What a line says; `None`: it is empty, or a comment.
fn entry(line: &str, issuer: &mut dyn FnMut(&str) -> Option<IssuerId>) -> Result<Option<Entry>, Fault> {
    let line = without_comment(line).trim();
    if line.is_empty() {
        return Ok(None);
    }
    let unknown = || {
        let help = "write jkt:, x5t:, jti:, client: or sub: and what is denied; a comment begins with #";
        (format!("{} is no entry", quoted(line)), help)
    };
    let (kind, value) = line.split_once(':').ok_or_else(unknown)?;
    let value = value.trim();
    let thumbprint =
        |help| Thumbprint::parse(value).ok_or_else(|| (format!("{} is no thumbprint", quoted(value)), help));
    let entry = match kind {
        "jkt" => Entry::Key(thumbprint("write it as cnf.jkt of a token has it: 43 characters of base64url")?),
        "x5t" => Entry::Certificate(*thumbprint(
            "write it as cnf.x5t#S256 of a token has it: the SHA-256 of the certificate in base64url, 43 characters",
        )?.as_bytes()),
        "jti" => Entry::Token(token(value)?),
        "client" => {
            let (issuer, name) = name(value, issuer)?;
            Entry::Client(issuer, name)
        }
        "sub" => {
            let (issuer, name) = name(value, issuer)?;
            Entry::Subject(issuer, name)
        }
        _ => return Err(unknown()),
    };
    Ok(Some(entry))
}

/// Up to a `#` at the beginning or after a space, as in YAML: a name may have one in it.
fn without_comment(line: &str) -> &str {
    let mut befores = line.match_indices('#').filter_map(|(at, _)| line.get(..at));
    let begins = |before: &&str| before.chars().next_back().is_none_or(char::is_whitespace);
    befores.find(begins).unwrap_or(line)
}

/// One `jti`: with a space in it, it would be meant otherwise than it is read.
fn token(jti: &str) -> Result<String, Fault> {
    let help = "write the jti of a token after it, which has no space in it";
    if jti.is_empty() {
        return Err(("nothing stands after jti:".to_owned(), help));
    }
    if jti.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err((format!("{} is no jti", quoted(jti)), help));
    }
    Ok(jti.to_owned())
}

/// `NAME`, or `ISSUER NAME`.
fn name(
    value: &str,
    issuer: &mut dyn FnMut(&str) -> Option<IssuerId>,
) -> Result<(Option<IssuerId>, String), Fault> {
    let (issuer, name) = match value.split_once(char::is_whitespace) {
        None => (None, value),
        Some((first, name)) => {
            let help = "write the name of an entry of issuers before it, or the name alone; one with a space in it needs its issuer before it";
            let id = issuer(first).ok_or_else(|| (format!("no issuer is named {}", quoted(first)), help))?;
            (Some(id), name.trim_start())
        }
    };
    if name.is_empty() || name.contains(char::is_control) {
        return Err((
            format!("{} is no name", quoted(name)),
            "write NAME, or ISSUER NAME, as tokens have it",
        ));
    }
    Ok((issuer, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn read(line: &str) -> Result<Option<Entry>, String> {
        let mut issuer = |name: &str| (name == "main").then_some(IssuerId(7));
        entry(line, &mut issuer).map_err(|(what, _)| what)
    }

    #[test]
    fn a_line_is_an_entry_or_a_comment() {
        let key = Thumbprint::parse(KEY).unwrap();
        let main = Some(IssuerId(7));
        let text = |text: &str| text.to_owned();
        for (line, expected) in [
            (String::new(), None),
            (text("  \t "), None),
            (text("# jkt:x"), None),
            (text("  #"), None),
            (format!("jkt:{KEY}"), Some(Entry::Key(key))),
            (format!("  jkt: {KEY}\r"), Some(Entry::Key(key))),
            (format!("jkt:{KEY} # stolen"), Some(Entry::Key(key))),
            (format!("x5t:{KEY}"), Some(Entry::Certificate(*key.as_bytes()))),
            (text("jti:a-b:c"), Some(Entry::Token(text("a-b:c")))),
            (text("jti:a#b"), Some(Entry::Token(text("a#b")))),
            (text("client:shop"), Some(Entry::Client(None, text("shop")))),
            (text("client:main"), Some(Entry::Client(None, text("main")))),
            (
                text("client:https://app.example.com/#id"),
                Some(Entry::Client(None, text("https://app.example.com/#id"))),
            ),
            (text("client:main shop"), Some(Entry::Client(main, text("shop")))),
            (text("client:main\t my shop "), Some(Entry::Client(main, text("my shop")))),
            (text("sub:auth0|7"), Some(Entry::Subject(None, text("auth0|7")))),
            (
                text("sub:eve_example.com#EXT#@example.org"),
                Some(Entry::Subject(None, text("eve_example.com#EXT#@example.org"))),
            ),
            (text("sub:main alice#comment"), Some(Entry::Subject(main, text("alice#comment")))),
            (text("sub:main alice #comment"), Some(Entry::Subject(main, text("alice")))),
        ] {
            assert_eq!(read(&line), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn what_is_neither_says_so() {
        for (line, expected) in [
            ("alice", "\"alice\" is no entry"),
            ("JKT:x", "\"JKT:x\" is no entry"),
            ("kid:one", "\"kid:one\" is no entry"),
            ("jkt:", "\"\" is no thumbprint"),
            ("jkt:abc", "\"abc\" is no thumbprint"),
            (
                "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J",
                "\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J\" is no thumbprint",
            ),
            ("x5t:AA:BB", "\"AA:BB\" is no thumbprint"),
            ("jti:", "nothing stands after jti:"),
            ("jti:main x", "\"main x\" is no jti"),
            ("client:", "\"\" is no name"),
            ("client: # nobody", "\"\" is no name"),
            ("client:other shop", "no issuer is named \"other\""),
            ("sub:my name", "no issuer is named \"my\""),
            ("sub:a\u{0}b", "\"a\\0b\" is no name"),
        ] {
            assert_eq!(read(line), Err(expected.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn only_a_line_that_says_so_is_an_empty_list() {
        assert!(["# empty", "#empty", "  #  empty "].into_iter().all(says_empty));
        assert!(!["", "#", "empty", "# emptied", "# empty list"].into_iter().any(says_empty));
    }
}
