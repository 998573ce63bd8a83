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

/// What each file is warned of that can run, but not as its author thinks.
#[test]
fn every_warned_file_has_its_warnings() {
    let folder = material();
    for case in yaml_files(&root().join("tests/config/warned")) {
        let copy = folder.path().join(case.file_name().unwrap());
        std::fs::copy(&case, &copy).unwrap();
        let (_, warnings) = keyproof::config::load(&copy).unwrap_or_else(|problems| panic!("{problems}"));
        let place = format!("{}/", folder.path().display());
        let told: String =
            warnings.iter().map(|warning| format!("{warning}\n").replace(&place, "")).collect();
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &told).unwrap();
        }
        assert_eq!(told, std::fs::read_to_string(&expected).unwrap_or_default(), "{}", case.display());
    }
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
    certificates(&write);
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
    write("secrets/admin", format!("{}\n", "a".repeat(64)).as_bytes());
    write("secrets/spaced", b"two words, which no Bearer token has, however many more of them there are\n");
    write("secrets/denied", DENIED.as_bytes());
    write("secrets/denied_badly", DENIED_BADLY.as_bytes());
    write("secrets/denied_nobody", b"# soon\n");
    write("long", &vec![b'a'; 1024 * 1024 + 1]);
    folder
}

/// Certificates that something is wrong with, and how people save them.
fn certificates(write: &impl Fn(&str, &[u8])) {
    use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
    let named = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut parameters = named("api.example.com");
        change(&mut parameters);
        parameters
    };
    let make = |name: &str, parameters: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        write(&format!("tls/{name}.crt"), parameters.self_signed(&key).unwrap().pem().as_bytes());
        write(&format!("tls/{name}.key"), key.serialize_pem().as_bytes());
    };
    make("expired", with(&|p| p.not_after = date_time_ymd(2020, 1, 2)));
    make("early", with(&|p| p.not_before = date_time_ymd(2090, 1, 2)));
    make("elsewhere", named("shop.example.com"));
    make("nameless", CertificateParams::default());
    make("client", with(&|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth)));
    let with_mark = |text: &str| format!("\u{feff}{text}").into_bytes();

    let key = KeyPair::generate().unwrap();
    write("tls/authority.key", key.serialize_pem().as_bytes());
    let unconstrained =
        |p: &mut CertificateParams| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = with(&unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key).unwrap();
    write("tls/authority.crt", authority.pem().as_bytes());
    let old = with(&unconstrained);
    let old = CertifiedIssuer::self_signed(old, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    write("tls/issued.key", key.serialize_pem().as_bytes());
    let issued = with(&|_| ()).signed_by(&key, &authority).unwrap();
    write("tls/issued.crt", format!("{}{}", issued.pem(), authority.pem()).as_bytes());
    let foreign = with(&|_| ()).signed_by(&key, &old).unwrap();
    write("tls/oldroot.crt", format!("{}{}", foreign.pem(), authority.pem()).as_bytes());

    let made = rcgen::generate_simple_self_signed(vec!["api.example.com".to_owned()]).unwrap();
    let own = made.cert.pem();
    write("tls/tls.crt", own.as_bytes());
    write("tls/tls.key", made.signing_key.serialize_pem().as_bytes());
    write("tls/tls.der", made.cert.der());
    write("tls/key.der", made.signing_key.serialized_der());
    write("tls/marked.crt", &with_mark(&own));
    let mut stranger = named("other.example.com");
    stranger.distinguished_name.push(rcgen::DnType::CommonName, "a stranger");
    let stranger = stranger.self_signed(&KeyPair::generate().unwrap()).unwrap();
    write("tls/disorder.crt", format!("{own}{}{}", stranger.pem(), authority.pem()).as_bytes());
    write(
        "tls/utf16.crt",
        &[0xFEFF].into_iter().chain(own.encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
    );
    write("tls/store.p12", &[0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03, 0x30]);
    write(
        "tls/encrypted.key",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    write("tls/version1.crt", VERSION_1.as_bytes());
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

/// Every kind of line of a list.
const DENIED: &str = "\
# somebody's phone
jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I  # its key

  x5t:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
jti:0b6c
client:batch-7
client:main my client
sub:auth0|62
sub:main alice
";

/// Lines that are none.
const DENIED_BADLY: &str = "\
alice
jkt:
jkt:d1970e08e459358cbe0d6a6aab7d236722461d33747761e0941577ba282e0382
x5t:D1:97:0E
jti:main 0b6c
client:other batch-7
sub: # nobody
client:good
kid:one
";

/// Made with `openssl x509 -req -signkey` and no extensions.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBMDCB1wIURxqZqBCB6UzwfdAZCs5o5qkToiUwCgYIKoZIzj0EAwIwGjEYMBYG
A1UEAwwPYXBpLmV4YW1wbGUuY29tMCAXDTI2MTEyNjE1MjYyMVoYDzIxMjYxMTAy
MTUyNjIxWjAaMRgwFgYDVQQDDA9hcGkuZXhhbXBsZS5jb20wWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAQL8lJ6IbbPWv4BNgVdQoaKN88VJ5nWoVFqzJy6wSXhd8hT
4RSpCQn5CwzYtoYr/fhQdGWNQLlhIH5Uam7md1N+MAoGCCqGSM49BAMCA0gAMEUC
IFrMYKgM7iymMggTgvZ1/D77TBU8+YdPGsvPQCPbu5FlAiEAy6lHgi0W8ue7Zl4H
ZaA7YIHTVdHZqtb7TrDBI5Ft65g=
-----END CERTIFICATE-----
";
