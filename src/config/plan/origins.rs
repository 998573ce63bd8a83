//! Origins: our own, and those whose scripts may call us.

use super::{CorsPlan, names};
use crate::config::document::{Cors, Document};
use crate::config::problem::Findings;
use crate::config::read::Spot;
use crate::uri::Origin;

type Text = Spot<String>;

/// The public origins.
pub(super) fn origins(document: &Document, findings: &mut Findings) -> Vec<Origin> {
    let Some(list) = &document.public_origins else { return Vec::new() };
    if list.is_empty() {
        let help = "name the origins that clients use: [\"https://api.example.com\"]";
        findings.problem(&list.place, "the list is empty", help);
    }
    let mut origins: Vec<Origin> = Vec::new();
    for text in &list.items {
        let Some(origin) = origin(text, findings) else { continue };
        if origins.contains(&origin) {
            findings.problem(&text.place, format!("{} is listed twice", text.shown()), "delete one of them");
        } else {
            origins.push(origin);
        }
    }
    origins
}

/// An origin: nothing after host and port, not even a slash.
fn origin(text: &Text, findings: &mut Findings) -> Option<Origin> {
    let parsed = Origin::parse(&text.value);
    let (what, help) = match &parsed {
        Ok(origin) if text.value.ends_with('/') => {
            ("an origin has no path".to_owned(), format!("write {}", origin.as_str()))
        }
        Ok(_) => return parsed.ok(),
        Err(error) => (error.to_string(), "write scheme and host, as https://api.example.com".to_owned()),
    };
    findings.problem(&text.place, format!("{} is no origin: {what}", text.shown()), help);
    None
}

/// Whose scripts may read a route's answers.
pub(super) fn cors(cors: &Cors, findings: &mut Findings) -> CorsPlan {
    let mut origins = Vec::new();
    let Some(list) = &cors.origins else { return CorsPlan { origins } };
    names::distinct(list, "name the origins of your web applications, or delete cors", findings);
    for text in &list.items {
        if text.value == "*" || text.value.eq_ignore_ascii_case("null") {
            let help = "name each origin, as https://app.example.com: answers to requests with tokens are not for every page";
            findings.problem(&text.place, format!("{} cannot be allowed", text.shown()), help);
        } else if is_of_an_app(&text.value) {
            origins.push(text.value.clone());
        } else if let Some(origin) = origin(text, findings) {
            origins.push(origin.as_str().to_owned());
        }
    }
    CorsPlan { origins }
}

/// The origin of an application's own shell, as browsers write it: `capacitor://localhost`, `chrome-extension://…` (HTML standard,
/// "serialization of an origin"). It is compared to the letter.
fn is_of_an_app(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let in_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(in_scheme)
        && !matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp" | "file" | "data")
        && !host.is_empty()
        && host.bytes().all(in_host)
}
