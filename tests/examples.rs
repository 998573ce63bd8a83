//! What the documents show works: every configuration, every command line, every link, every metric.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a broken promise ends the test with its place")]

use keyproof::headers::Kind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a configuration or a command stands, and its text.
type Found = (String, String);

#[test]
fn every_configuration_shown_passes_check() {
    let configurations = configurations();
    assert!(configurations.len() >= 7, "the configurations were not found");
    for (place, text) in configurations {
        let folder = tempfile::tempdir().unwrap();
        make_named_files(&yaml(&text), folder.path());
        let file = folder.path().join("keyproof.yaml");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_keyproof"))
            .arg("check")
            .arg(&file)
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{place}:\n{said}");
    }
}

/// What a page shows is a part of a configuration: with the rest of the smallest one it passes too.
#[test]
fn every_part_of_a_configuration_shown_passes_check() {
    let minimal = yaml(&read("config/minimal.yaml"));
    let schema: Value = serde_json::from_str(&keyproof::config::schema()).unwrap();
    let mut count = 0;
    for (place, text) in files("docs").iter().flat_map(|file| fenced(file, "yaml")) {
        let part = yaml(&text);
        let part = part.as_object().unwrap();
        if !part.keys().any(|key| schema["properties"].get(key).is_some()) {
            // Keys of a section that is not shown.
            continue;
        }
        let mut whole = minimal.clone();
        whole.as_object_mut().unwrap().extend(part.clone());
        if !part.contains_key("upstreams") {
            let named = whole["routes"].as_array().unwrap().iter().map(|route| route["upstream"].clone());
            let named = named.map(|name| json!({ "name": name, "servers": ["http://127.0.0.1:9000"] }));
            whole["upstreams"] = named.collect();
        }
        let folder = tempfile::tempdir().unwrap();
        make_named_files(&whole, folder.path());
        let file = folder.path().join("keyproof.yaml");
        std::fs::write(&file, whole.to_string()).unwrap();
        let problems = keyproof::config::load(&file).err();
        assert!(problems.is_none(), "{place}:\n{}", problems.unwrap());
        count += 1;
    }
    assert!(count >= 12, "only {count} parts were found");
}

/// The settings that are commented out are known settings: with all of them in, no key is unknown and no value wrong.
#[test]
fn what_is_commented_out_in_the_reference_are_settings() {
    let text = read("config/keyproof.yaml");
    let body = text.find("\nlisteners:").unwrap();
    let uncommented: Vec<_> = text[body..].lines().map(|line| line.replacen("# ", "", 1)).collect();
    let settings =
        |line: &&String| line.trim_start().split(' ').next().is_some_and(|word| word.ends_with(':'));
    let count =
        text[body..].lines().zip(&uncommented).filter(|(line, new)| line != new && settings(new)).count();
    assert!(count > 8, "only {count} settings are commented out");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyproof.yaml");
    let kept = text[body..].lines().zip(uncommented).map(|(line, new)| {
        let is_setting = line.trim_start().starts_with("# ") && settings(&&new);
        if is_setting { new } else { line.to_owned() }
    });
    std::fs::write(&file, kept.collect::<Vec<_>>().join("\n")).unwrap();
    let problems =
        keyproof::config::load(&file).err().map(|problems| problems.to_string()).unwrap_or_default();
    for problem in problems.lines() {
        // Some settings are written in place of others; and fronts are believed that the file does not name.
        let expected = ["there is no such file", "redis", "journal", "replace_prefix", "client_certificate"];
        assert!(expected.iter().any(|reason| problem.contains(reason)), "{problem}");
    }
}

#[test]
fn every_command_line_shown_can_be_given() {
    let commands = commands();
    assert!(commands.len() >= 30, "only {} commands were found", commands.len());
    let mut wrong = Vec::new();
    for (place, line) in commands {
        let words = words(&line);
        if let Err(error) = keyproof::cli::definition().try_get_matches_from(&words)
            && error.use_stderr()
        {
            wrong.push(format!("{place}: {words:?}\n{error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `keyproof check` in a sentence names a command that exists.
#[test]
fn every_command_mentioned_exists() {
    let definition = keyproof::cli::definition();
    let mut count = 0;
    for file in ["README.md", "CHANGELOG.md", "SECURITY.md"] {
        let text = read(file);
        for mention in text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("keyproof ")) {
            let name = mention.split(' ').next().unwrap();
            assert!(definition.find_subcommand(name).is_some(), "{file}: keyproof {name}");
            count += 1;
        }
    }
    assert!(count > 3, "only {count} mentions were found");
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    let pages = files("docs").into_iter().filter(|file| file.ends_with(".md"));
    let others = ["README.md", "CHANGELOG.md", "SECURITY.md", "tests/fuzz/README.md"].map(str::to_owned);
    for file in others.into_iter().chain(pages) {
        for target in
            read(&file).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned))
        {
            let path = target.split('#').next().unwrap();
            let here = root().join(&file).parent().unwrap().join(path);
            assert!(target.starts_with("https://") || here.exists(), "{file} links to {target}");
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} links were found");
}

/// Dashboards and alerts ask for metrics that there are.
#[test]
fn every_metric_shown_exists() {
    let families = read("src/observe/families.rs");
    let mut count = 0;
    for file in files("deploy").into_iter().chain(["README.md".to_owned(), "SECURITY.md".to_owned()]) {
        for name in read(&file).split("keyproof_").skip(1) {
            let name: String = name.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            assert!(families.contains(&format!("\"keyproof_{family}\"")), "{file}: keyproof_{name}");
            count += 1;
        }
    }
    assert!(count > 40, "only {count} metrics were found");
}

/// And for reasons that there are.
#[test]
fn every_reason_shown_exists() {
    let denials = read("src/denial.rs");
    let mut count = 0;
    for file in files("deploy").into_iter().filter(|file| !file.contains("_test")) {
        let text = read(&file).replace("\\\"", "\"");
        for reasons in text.split("reason=").skip(1).map(|rest| rest.trim_start_matches('~')) {
            let Some(reasons) = reasons.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            for reason in reasons.split('|').filter(|reason| !reason.contains(['$', '.'])) {
                assert!(denials.contains(&format!("\"{reason}\"")), "{file}: {reason}");
                count += 1;
            }
        }
    }
    assert!(count > 3, "only {count} reasons were found");
}

/// `UPDATE_GOLDEN=1` writes the list anew.
#[test]
fn every_field_that_is_removed_is_documented() {
    let list: String = Kind::ALL
        .map(|kind| {
            let names: Vec<_> = kind.names().map(|name| format!("`{name}`")).collect();
            format!("## {}\n\nEach {}.\n\n{}\n", kind.title(), kind.reason(), names.join(", "))
        })
        .join("\n");
    let mark = "<!-- Everything below is written by tests/examples.rs from src/headers/table.rs. -->\n\n";
    let file = "docs/removed-headers.md";
    let text = read(file);
    let (introduction, _) = text.split_once(mark).unwrap();
    let expected = format!("{introduction}{mark}{list}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(root().join(file), &expected).unwrap();
    }
    assert!(read(file) == expected, "{file} is not what the table says: run this test with UPDATE_GOLDEN=1");
    assert!(read("README.md").contains(&format!("({file})")), "README.md leads to {file}");
}

/// Every YAML block of README.md and every YAML file of config/ and deploy/ that has listeners.
fn configurations() -> Vec<Found> {
    let blocks = fenced("README.md", "yaml").into_iter();
    let shipped = ["config", "deploy"].iter().flat_map(|folder| files(folder));
    let shipped = shipped.filter(|file| file.ends_with(".yaml")).map(|file| (file.clone(), read(&file)));
    blocks
        .chain(shipped)
        .filter(|(_, text)| text.lines().any(|line| line.starts_with("listeners:")))
        .collect()
}

/// Every line that somebody may copy: shell blocks, comments, units, manifests, and the examples of `--help`.
fn commands() -> Vec<Found> {
    let mut found = Vec::new();
    for (place, block) in fenced("README.md", "sh") {
        found.extend(lines(&place, &block.replace("cargo run --release -- ", "keyproof ")));
    }
    for file in files("config").into_iter().chain(files("deploy")).chain(["Dockerfile".to_owned()]) {
        let text = read(&file).replace("ExecStart=/usr/local/bin/keyproof", "keyproof");
        let comments = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
        found.extend(lines(&file, &comments.collect::<Vec<_>>().join("\n")));
        // `keyproof check FILE` at the end of a sentence, and lists of arguments.
        let last = text.lines().filter_map(|line| line.split_once(": keyproof ").map(|(_, end)| end));
        found.extend(last.map(|end| (file.clone(), format!("keyproof {end}"))));
        found.extend(text.lines().filter_map(arguments).map(|line| (file.clone(), line)));
    }
    for file in files("tests/cli/help") {
        let text = read(&file);
        let examples = text.split_once("Examples:\n").map_or("", |(_, examples)| examples);
        let examples = examples.split("\nExit codes").next().unwrap();
        let examples = examples.split(" \\\n").map(str::trim_start).collect::<Vec<_>>().join(" ");
        found.extend(lines(&file, &examples));
    }
    found
}

/// The lines that begin with the program's name and are no sentence.
fn lines(place: &str, text: &str) -> Vec<Found> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with("keyproof ") && !line.ends_with('.'));
    lines.map(|line| (place.to_owned(), line.to_owned())).collect()
}

/// `args: [serve, …]` of a container, `CMD ["serve", …]` and the health check of an image.
fn arguments(line: &str) -> Option<String> {
    let list = line.split_once("args: [").or_else(|| line.split_once("CMD ["))?.1.strip_suffix(']')?;
    let words: Vec<_> = list.split(',').map(|word| word.trim().trim_matches('"')).collect();
    let words: Vec<_> = words.into_iter().filter(|word| !word.ends_with("keyproof")).collect();
    Some(format!("keyproof {}", words.join(" ")))
}

/// A line's words as a shell has them, up to a pipe, a redirection, a second command, a comment or an explanation.
fn words(line: &str) -> Vec<String> {
    let line = line.split("    ").next().unwrap();
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in line.chars() {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (letter, Some(mark)) if letter == mark => quote = None,
            (' ', None) => words.push(String::new()),
            (letter, _) => words.last_mut().unwrap().push(letter),
        }
    }
    let ends = |word: &String| ["|", ">", "&&", "#"].contains(&word.as_str());
    words.into_iter().take_while(|word| !ends(word)).filter(|word| !word.is_empty()).collect()
}

/// The fenced blocks of this language.
fn fenced(file: &str, language: &str) -> Vec<Found> {
    let text = read(file);
    let opening = format!("\n```{language}\n");
    let blocks = text.split(&opening).skip(1);
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned());
    blocks.enumerate().map(|(number, block)| (format!("{file}, block {}", number + 1), block)).collect()
}

/// Certificates, keys, key sets and secrets under the names that the configuration gives them.
fn make_named_files(document: &Value, folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["api.example.com".to_owned()]).unwrap();
    for (key, name) in named_files(document) {
        // The environment is empty: what stands there is the default.
        let name = name.replace("${CREDENTIALS_DIRECTORY:-tls}", "tls");
        let contents = match key.as_str() {
            "certificate" => made.cert.pem(),
            "private_key" => made.signing_key.serialize_pem(),
            "jwks_file" => r#"{"keys":[]}"#.to_owned(),
            "denied_file" => "# empty".to_owned(),
            _ => "a".repeat(64),
        };
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
}

fn named_files(value: &Value) -> Vec<(String, String)> {
    let is_file =
        |key: &str| key.ends_with("_file") || ["certificate", "private_key", "client_ca"].contains(&key);
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(name) if is_file(key) => vec![(key.clone(), name.clone())],
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => named_files(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(named_files).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The files below a folder, as paths from the top.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() { found.extend(files(&name)) } else { found.push(name) }
    }
    found.sort();
    found
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
