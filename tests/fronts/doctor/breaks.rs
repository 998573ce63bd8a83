//! The table of breaks, as its files have it.

use std::path::Path;

const URL: &str = "http://api.test/orders/7?a=1";

/// One way to break a front.
#[derive(Debug)]
pub(super) struct Break {
    pub(super) name: String,
    /// File, what stands there, and what stands there instead.
    pub(super) edits: Vec<(String, String, String)>,
    pub(super) url: String,
    /// One more argument.
    pub(super) with: Vec<String>,
    pub(super) exit: i32,
    /// A part of what is said.
    pub(super) says: String,
}

/// Every break of a file, after the front as it should be.
pub(super) fn read(file: &Path) -> Vec<Break> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let healthy = Break::named("nothing");
    let mut all = vec![Break { says: "\nhtu can match.".to_owned(), ..healthy }];
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let last = all.last_mut().unwrap();
        match word {
            "==" => all.push(Break::named(rest)),
            "exit" => last.exit = rest.parse().unwrap(),
            "url" => last.url = rest.to_owned(),
            "with" => last.with.push(rest.to_owned()),
            "says" => last.says = rest.to_owned(),
            "file" => last.edits.push((rest.to_owned(), String::new(), String::new())),
            "-" => add(&mut last.edits.last_mut().unwrap().1, rest),
            "+" => add(&mut last.edits.last_mut().unwrap().2, rest),
            other => panic!("{}: {other} means nothing", file.display()),
        }
    }
    all
}

/// Several lines are one text.
fn add(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

impl Break {
    fn named(name: &str) -> Self {
        let (name, url) = (name.to_owned(), URL.to_owned());
        Self { name, edits: vec![], url, with: vec![], exit: 0, says: String::new() }
    }

    /// The text of this file with the break in it.
    pub(super) fn edited(&self, file: &str, text: String) -> String {
        self.edits.iter().filter(|(named, ..)| named == file).fold(text, |text, (_, from, to)| {
            assert!(text.contains(from), "{}: {from} is not in {file}:\n{text}", self.name);
            text.replacen(from, to, 1)
        })
    }
}
