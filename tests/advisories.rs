//! No version with a known hole is in `Cargo.lock`.
//!
//! The advisory database is fetched where the network allows it; this list is what is known to matter here, and holds offline.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::path::Path;

type Version = (u64, u64, u64);

/// A crate, the first version without the holes, and which they are.
const FLOORS: &[(&str, Version, &str)] = &[
    ("aws-lc-sys", (0, 39, 0), "RUSTSEC-2026-0044 to -0048"),
    ("h2", (0, 4, 16), "RUSTSEC-2026-0258: empty DATA frames"),
    ("jsonwebtoken", (10, 3, 0), "CVE-2026-25537: exp and nbf of the wrong type are ignored"),
    ("protobuf", (3, 7, 2), "RUSTSEC-2024-0437: unbounded recursion"),
    ("quinn-proto", (0, 11, 15), "RUSTSEC-2026-0037, -0185"),
    ("rustls-webpki", (0, 103, 13), "RUSTSEC-2026-0049, -0098, -0099, -0104: name constraints, CRLs"),
    ("tracing-subscriber", (0, 3, 20), "RUSTSEC-2025-0055: terminal escapes in logs"),
];

/// Crates no version of which may come in.
const BANNED: &[(&str, &str)] = &[
    ("rsa", "RUSTSEC-2023-0071: timing, never fixed"),
    ("rustls-pemfile", "RUSTSEC-2025-0134: unmaintained"),
    ("serde_yaml", "archived"),
    ("serde_yml", "RUSTSEC-2025-0068: unsound"),
];

#[test]
fn no_package_has_a_known_hole() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let packages = packages(&lock);
    assert!(packages.iter().any(|(name, _)| *name == "keyproof"), "the lock file cannot be read");
    assert_eq!(holes(&packages), [""; 0]);
}

#[test]
fn a_version_below_its_floor_is_found() {
    let lock = "version = 4\n\n[[package]]\nname = \"h2\"\nversion = \"0.4.9\"\n\n[[package]]\nname = \"h2\"\nversion = \"0.4.16\"\n\n\
        [[package]]\nname = \"rsa\"\nversion = \"0.9.8\"\ndependencies = [\n \"h2 0.4.9\",\n]\n\n\
        [[package]]\nname = \"protobuf\"\nversion = \"3.7.2-rc.1+x\"\n";
    let found = holes(&packages(lock));
    assert_eq!(
        found,
        [
            "h2 0.4.9: below 0.4.16: RUSTSEC-2026-0258: empty DATA frames",
            "rsa 0.9.8: RUSTSEC-2023-0071: timing, never fixed",
        ]
    );
}

fn packages(lock: &str) -> Vec<(&str, Version)> {
    let sections = lock.split("[[package]]").skip(1);
    sections.map(|section| (field(section, "name"), version(field(section, "version")))).collect()
}

fn field<'a>(section: &'a str, name: &str) -> &'a str {
    let line = section.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
    line.unwrap().trim_end_matches('"')
}

/// The release a version belongs to: what stands after `-` or `+` does not matter here.
fn version(text: &str) -> Version {
    let release = text.split(['-', '+']).next().unwrap();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap())
}

fn holes(packages: &[(&str, Version)]) -> Vec<String> {
    packages.iter().filter_map(|(name, version)| hole(name, *version)).collect()
}

fn hole(name: &str, version: Version) -> Option<String> {
    let (major, minor, patch) = version;
    let found = format!("{name} {major}.{minor}.{patch}");
    if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
        return Some(format!("{found}: {why}"));
    }
    let (_, (a, b, c), why) = FLOORS.iter().find(|(known, floor, _)| *known == name && version < *floor)?;
    Some(format!("{found}: below {a}.{b}.{c}: {why}"))
}
