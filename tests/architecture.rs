//! The house rules: which room may know which, and what the pure rooms must not touch.
//!
//! The table is the one in the crate documentation, as data. A room that opens a door it does not have fails here.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken rule of the house ends the test with its place"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room and the rooms it may name. `app`, `cli` and `demo` wire the others together and know every room.
const DOORS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("headers", &[]),
    ("jose", &[]),
    ("uri", &[]),
    ("hot_keys", &["clock", "jose"]),
    ("dpop", &["clock", "hot_keys", "jose", "uri"]),
    ("token", &["clock", "jose", "names"]),
    ("seal", &["headers", "jose"]),
    ("replay", &["clock", "jose"]),
    ("route", &["names", "uri"]),
    ("certificate", &["headers", "jose"]),
    ("denial", &["dpop", "token", "uri"]),
    ("identity", &["jose"]),
    (
        "authorize",
        &["certificate", "clock", "denial", "dpop", "headers", "identity", "jose", "replay", "token", "uri"],
    ),
    (
        "config",
        &[
            "authorize",
            "certificate",
            "clock",
            "dpop",
            "headers",
            "hot_keys",
            "identity",
            "jose",
            "names",
            "net",
            "replay",
            "route",
            "token",
            "uri",
        ],
    ),
    ("observe", &["clock", "denial", "headers", "jose", "names", "token", "uri"]),
    ("issuer", &["clock", "config", "jose", "net", "token"]),
    ("names", &[]),
    ("net", &[]),
    ("server", &["certificate", "clock", "names", "net"]),
    ("upstream", &["clock", "config", "net"]),
    (
        "gate",
        &[
            "authorize",
            "certificate",
            "clock",
            "config",
            "denial",
            "doctor",
            "dpop",
            "headers",
            "issuer",
            "names",
            "net",
            "observe",
            "route",
            "token",
            "uri",
        ],
    ),
    (
        "forward_auth",
        &[
            "authorize",
            "certificate",
            "clock",
            "config",
            "denial",
            "doctor",
            "entrance",
            "gate",
            "headers",
            "names",
            "observe",
            "server",
            "uri",
        ],
    ),
    ("entrance", &["certificate", "clock", "config", "names", "observe", "server"]),
    (
        "proxy",
        &[
            "authorize",
            "clock",
            "config",
            "denial",
            "doctor",
            "entrance",
            "gate",
            "headers",
            "names",
            "observe",
            "route",
            "server",
            "upstream",
            "uri",
        ],
    ),
    ("doctor", &["clock", "headers", "jose"]),
    ("admin", &["clock", "config", "doctor", "headers", "jose", "net", "observe", "uri"]),
    ("client", &["clock", "headers", "issuer", "jose", "net", "uri"]),
];
const WIRING: &[&str] = &["app", "cli", "demo", "main", "lib"];
/// Built for tests alone, as the files are whose names say so.
const FOR_TESTS: &[&str] = &["simulation"];

/// Rooms that compute and nothing else: they never wait, ask the time, open a file or a socket.
const PURE: &[&str] = &[
    "certificate",
    "headers",
    "names",
    "jose",
    "uri",
    "dpop",
    "token",
    "seal",
    "route",
    "denial",
    "identity",
];
/// Files of other rooms that do no more: their rooms do what they decide.
const PURE_FILES: &[&str] = &["upstream/health/server.rs"];
const IMPURE_WORDS: &[&str] = &["tokio", "hyper", "SystemTime", "std::fs", "std::net", "std::env"];

/// The only places that name the crypto crate, or rustls's view of it.
const CRYPTO: &[&str] = &["jose", "server/tls", "client", "net/tls", "config", "replay/redis"];

#[test]
fn every_room_uses_only_the_doors_it_has() {
    let doors: BTreeMap<_, BTreeSet<_>> =
        DOORS.iter().map(|(room, known)| (*room, known.iter().copied().collect())).collect();
    let mut broken = Vec::new();
    for (room, file, text) in sources() {
        let Some(known) = doors.get(room.as_str()) else { continue };
        for named in rooms_named_in(&text) {
            if named != room && !known.contains(named.as_str()) {
                broken.push(format!("{}: `{room}` may not know `{named}`", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "doors that DOORS does not have:\n{}", broken.join("\n"));
}

#[test]
fn every_room_is_on_the_map() {
    let map = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (room, file, _) in sources() {
        if ["main", "lib"].contains(&room.as_str()) {
            continue;
        }
        let has_doors = WIRING.contains(&room.as_str()) || DOORS.iter().any(|(name, _)| *name == room);
        assert!(has_doors, "{}: add `{room}` to DOORS", file.display());
        assert!(map.contains(&format!("[`{room}`]")), "`{room}` is not on the map in src/lib.rs");
    }
}

#[test]
fn pure_rooms_only_compute() {
    for (room, file, text) in sources() {
        if PURE.contains(&room.as_str()) || PURE_FILES.iter().any(|pure| file.ends_with(pure)) {
            for word in IMPURE_WORDS {
                assert!(!text.contains(word), "{}: it is pure and may not say `{word}`", file.display());
            }
        }
    }
}

#[test]
fn the_crypto_crate_is_named_in_few_places() {
    for (_, file, text) in sources() {
        let path = file.strip_prefix(root().join("src")).unwrap().display().to_string();
        let free = CRYPTO.iter().any(|place| path.starts_with(place));
        let named = text
            .match_indices("ring::")
            .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric()));
        assert!(free || !named, "{path} names the crypto crate");
        let tables = text.contains("keyproof_p256");
        assert!(!tables || path.starts_with("jose"), "{path} names the crate of the tables");
    }
}

/// Every source file outside its tests: the room, the path, the code without comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    assert!(found.len() > 40, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let inside = path.strip_prefix(root().join("src")).unwrap();
            let room = inside.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
            if !FOR_TESTS.contains(&room.as_str()) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((room, path, code_of(&text)));
            }
        }
    }
}

/// The text without comments and without what is only compiled for tests, wherever that stands.
///
/// Files are formatted, so what an attribute belongs to ends at the next line that closes a block or a statement at the same indentation.
fn code_of(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push(line);
            continue;
        }
        let indentation = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indentation);
            rest.is_some_and(|rest| !rest.starts_with(' ') && (rest == "}" || rest.ends_with([';', ','])))
        };
        let end = lines.by_ref().find(ends);
        assert!(end.is_some(), "what {line:?} belongs to has no end:\n{text}");
    }
    code.join("\n")
}

#[test]
fn only_what_is_for_tests_is_left_out() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nmod b;\n    #[cfg(test)]\n    fn c() {\n        d();\n    }\nuse e;\n// f\n#[cfg(test)]\nmod tests {\n    use g;\n}\nuse h;";
    assert_eq!(code_of(text), "use a;\nmod b;\nuse e;\nuse h;");
}

/// `crate::room` and `use crate::{room::…}`.
fn rooms_named_in(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let direct = code.split("crate::").skip(1).filter(|rest| !rest.starts_with('{')).map(name);
    let grouped = code.split("crate::{").skip(1).flat_map(|rest| {
        let group = rest.split(';').next().unwrap_or_default();
        group.split(',').map(|item| name(item.trim())).collect::<Vec<_>>()
    });
    let rooms: BTreeSet<_> = DOORS.iter().map(|(room, _)| *room).collect();
    direct.chain(grouped).filter(|named| rooms.contains(named.as_str())).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
