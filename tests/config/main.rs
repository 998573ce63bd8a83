//! The configuration file: every rule has a bad file with its problems beside it, and every shipped file is good.
//!
//! `UPDATE_GOLDEN=1` writes the expected output anew.

#![expect(clippy::unwrap_used, reason = "a broken promise ends the test with its place")]

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Everything that each bad file gets told.
#[test]
fn every_bad_file_has_its_problems() {
    let folder = material();
    let mut wrong = Vec::new();
    let cases = yaml_files(&root().join("tests/config/bad"));
    assert!(cases.len() > 30, "the bad files were not found");
    for case in cases {
        let copy = folder.path().join(case.file_name().unwrap());
        std::fs::copy(&case, &copy).unwrap();
        let problems = match keyproof::config::load(&copy) {
            Ok(_) => "no problem".to_owned(),
            Err(problems) => problems.to_string(),
        };
        let place = format!("{}/", folder.path().display());
        let told = format!("{}\n", problems.replace(&place, ""));
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &told).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{} says\n{told}", case.display()));
        }
        assert!(problems != "no problem", "{}: no problem was found", case.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_good_file_loads_without_a_warning_it_does_not_expect() {
    let folder = material();
    for case in yaml_files(&root().join("tests/config/good")) {
        let copy = folder.path().join(case.file_name().unwrap());
        std::fs::copy(&case, &copy).unwrap();
        match keyproof::config::load(&copy) {
            Ok((_, warnings)) => {
                let plain = std::fs::read_to_string(&case).unwrap().contains("# warns");
                assert_eq!(!warnings.is_empty(), plain, "{}: {warnings:?}", case.display());
            }
            Err(problems) => panic!("{problems}"),
        }
    }
}

#[test]
fn every_shipped_file_is_fine_as_it_is() {
    let files = yaml_files(&root().join("config"));
    assert!(files.len() >= 2);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=keyproof.schema.json\n"),
            "{}",
            file.display()
        );
        match keyproof::config::load(&file) {
            Ok((_, warnings)) => assert!(warnings.is_empty(), "{warnings:?}"),
            Err(problems) => panic!("{problems}"),
        }
    }
}

#[test]
fn the_shipped_schema_is_the_programs_own() {
    let file = root().join("config/keyproof.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, keyproof::config::schema()).unwrap();
    }
    assert!(
        std::fs::read_to_string(file).unwrap() == keyproof::config::schema(),
        "write it anew: keyproof schema > config/keyproof.schema.json"
    );
}

#[test]
fn the_schema_takes_good_files_and_no_unknown_key() {
    let schema: Value = serde_json::from_str(&keyproof::config::schema()).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for folder in ["tests/config/good", "config"] {
        for file in yaml_files(&root().join(folder)) {
            let document: Value = yaml(&std::fs::read_to_string(&file).unwrap());
            let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", file.display());
            for place in sections(&document, "") {
                let mut changed = document.clone();
                changed.pointer_mut(&place).unwrap()["surprise"] = Value::from(1);
                assert!(!validator.is_valid(&changed), "an unknown key at {place} of {}", file.display());
            }
        }
    }
}

#[test]
fn the_schema_refuses_what_the_program_refuses_by_its_shape() {
    let schema: Value = serde_json::from_str(&keyproof::config::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let minimal = std::fs::read_to_string(root().join("config/minimal.yaml")).unwrap();
    for (extra, valid) in [
        ("dpop: { max_age: 60s }", true),
        ("dpop: { max_age: 60 }", false),
        ("dpop: { max_age: 1d }", false),
        ("replay: { store: memory }", true),
        ("replay: { store: disk }", false),
        ("replay: { capacity: many }", false),
        ("replay:", false),
    ] {
        let document: Value = yaml(&format!("{minimal}\n{extra}\n"));
        assert_eq!(validator.is_valid(&document), valid, "{extra}");
    }
}

/// As an editor reads it: YAML 1.2.
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).unwrap()
}

/// The pointers of every object whose keys the schema knows.
fn sections(value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Value::Object(members) = value
        && !at.ends_with("/headers")
    {
        found.push(at.to_owned());
        found.extend(members.iter().flat_map(|(key, value)| sections(value, &format!("{at}/{key}"))));
    }
    if let Value::Array(values) = value {
        let inner = values.iter().enumerate();
        found.extend(inner.flat_map(|(index, value)| sections(value, &format!("{at}/{index}"))));
    }
    found
}

/// A directory with the files that the cases name.
fn material() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    };
    for name in ["tls", "other"] {
        let made = rcgen::generate_simple_self_signed(vec!["api.example.com".to_owned()]).unwrap();
        write(&format!("tls/{name}.crt"), made.cert.pem().as_bytes());
        write(&format!("tls/{name}.key"), made.signing_key.serialize_pem().as_bytes());
    }
    write("tls/clients.crt", b"");
    write("tls/garbage.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("jwks.json", b"{\"keys\":[]}");
    let good =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"good"}"#;
    write("odd.json", format!(r#"{{"keys":[{good},7,{{"kty":"oct","k":"AA","kid":"shared"}}]}}"#).as_bytes());
    write("long.json", format!(r#"{{"keys":[{good}]}}{}"#, " ".repeat(256 * 1024)).as_bytes());
    write("private.json", br#"{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c"}]}"#);
    write("secrets/nonce", format!("{}\n{}\n", "a".repeat(32), "b".repeat(64)).as_bytes());
    write("secrets/short", b"password\n");
    write("secrets/three", format!("{0}\n{0}\n{0}\n", "a".repeat(40)).as_bytes());
    write("secrets/introspection", b"secret");
    write("secrets/sentinel", b"another password\n");
    write("secrets/empty", b"\n");
    write("long", &vec![b'a'; 1024 * 1024 + 1]);
    folder
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
