//! `denied_file` by itself: a change is in force within five seconds, whatever becomes of the other files; what is no list changes nothing.

use super::{by_itself, with};
use keyproof::jose::{Algorithm, PrivateKey};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;
use support::gateway::{House, proof};

const ROUTES: &str = super::configuration::ROUTES;

/// Puts something else in the place of the list.
type Ruin = fn(&Path);

/// A gateway that denies nobody yet.
async fn house(settings: &str) -> House {
    let house = House::with(ROUTES, settings).await;
    write(&house, "# empty");
    house.reload_with("routes:\n", "denied_file: denied\nroutes:\n").await;
    house
}

fn write(house: &House, list: &str) {
    std::fs::write(house.folder().join("denied"), list).unwrap();
}

/// What a good request with this token is answered.
async fn ask(house: &House, token: &str) -> u16 {
    house.send(with(token, &house.proof(token, json!({})))).await.status
}

async fn reloads(house: &House, result: &str) -> f64 {
    house.metric("keyproof_config_reloads_total", &[result]).await
}

#[tokio::test]
async fn a_change_is_in_force_by_itself() {
    let house = house("").await;
    let token = house.token(json!({ "sub": "alice" }));
    assert_eq!(ask(&house, &token).await, 200);
    write(&house, "sub:alice\n");
    by_itself(async || ask(&house, &token).await == 401).await;
    assert_eq!(ask(&house, &house.token(json!({ "sub": "bob" }))).await, 200);
    write(&house, "sub:bob\n");
    by_itself(async || ask(&house, &token).await == 200).await;
    assert_eq!(ask(&house, &house.token(json!({ "sub": "bob" }))).await, 401);
    write(&house, "# nobody is left\n# empty\n");
    by_itself(async || ask(&house, &house.token(json!({ "sub": "bob" }))).await == 200).await;
    assert_eq!(house.version().await["configuration"]["number"], 5, "each list is told as a reload is");
    assert_eq!(reloads(&house, "success").await, 4.0);
}

/// Nothing that is no list takes anybody off it.
#[tokio::test]
async fn what_is_no_list_leaves_the_old_one_in_force_and_is_counted() {
    let house = house("").await;
    let token = house.token(json!({}));
    write(&house, "sub:alice\n");
    by_itself(async || ask(&house, &token).await == 401).await;
    let file = house.folder().join("denied");
    let ruins: [(&str, &str, Ruin); 6] = [
        ("a bad line", "denied:2: \"bob\" is no entry", |file| {
            std::fs::write(file, "sub:bob\nbob\n").unwrap()
        }),
        ("empty", "denied has no entry", |file| std::fs::write(file, "").unwrap()),
        ("only comments", "denied has no entry", |file| std::fs::write(file, "# soon\n").unwrap()),
        ("no text", "denied is not UTF-8", |file| std::fs::write(file, b"\xff\xfe").unwrap()),
        ("gone", "cannot read \"denied\"", |file| std::fs::remove_file(file).unwrap()),
        ("a directory", "cannot read \"denied\"", |file| std::fs::create_dir(file).unwrap()),
    ];
    for (number, (what, why, ruin)) in (1_u8..).zip(ruins) {
        // What cannot be read is the same as before to who only looks at it.
        if what == "a directory" {
            write(&house, "sub:alice\nsub:bob\n");
            by_itself(async || house.version().await["last_reload"]["result"] == "success").await;
            std::fs::remove_file(&file).unwrap();
        }
        let before = reloads(&house, "rejected").await;
        ruin(&file);
        by_itself(async || reloads(&house, "rejected").await > before).await;
        let told = house.version().await["last_reload"]["why"].to_string();
        assert!(told.replace("\\\"", "\"").contains(why), "{what}: {told}");
        assert_eq!(ask(&house, &token).await, 401, "{number}: {what}");
    }
    std::fs::remove_dir(&file).unwrap();
    write(&house, "# empty");
    by_itself(async || ask(&house, &token).await == 200).await;
}

/// Another file that is no good at the same time does not keep a list from being in force, nor the other way round.
#[tokio::test]
async fn each_file_is_good_or_bad_by_itself() {
    let house = house("dpop: { nonce: { secret_file: secret } }").await;
    let token = house.token(json!({}));
    let rejected = async || house.version().await["last_reload"]["result"] == "rejected";
    std::fs::write(house.folder().join("secret"), "short").unwrap();
    write(&house, "sub:alice");
    by_itself(async || ask(&house, &token).await == 401 && rejected().await).await;
    write(&house, "alice");
    std::fs::write(house.folder().join("jwks.json"), super::other_key()).unwrap();
    let other = PrivateKey::generate(Algorithm::Es256).unwrap();
    let of_other =
        house.token(json!({ "sub": "bob", "cnf": { "jkt": other.public().thumbprint().to_string() } }));
    let by_other = async || {
        let proof = proof(&other, json!({}), &of_other, json!({}));
        house.send(with(&of_other, &proof)).await
    };
    by_itself(async || by_other().await.status == 401).await;
    let reason = house.log.line_of(&by_other().await).await["reason"].clone();
    assert!(["token_signature", "token_unknown_key"].map(|label| json!(label)).contains(&reason), "{reason}");
}

/// Kubernetes mounts a directory of symbolic links, into another one that it swaps for a new one as a whole.
#[tokio::test]
async fn a_list_in_a_directory_that_kubernetes_swaps_is_noticed() {
    let house = house("").await;
    let folder = house.folder();
    let version = |name: &str, list: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("denied"), list).unwrap();
    };
    let swap = |name: &str| {
        symlink(name, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    let token = house.token(json!({}));
    version("..1", "# empty");
    swap("..1");
    std::fs::remove_file(folder.join("denied")).unwrap();
    symlink("..data/denied", folder.join("denied")).unwrap();
    assert_eq!(ask(&house, &token).await, 200);
    version("..2", "client:main shop");
    swap("..2");
    by_itself(async || ask(&house, &token).await == 401).await;
    version("..3", "client:main shops");
    swap("..3");
    by_itself(async || ask(&house, &token).await == 200).await;
}

/// A configuration that waits for somebody's keys does not hold up the list of what runs, and takes it over.
#[tokio::test]
async fn a_reload_that_waits_for_keys_does_not_hold_it_up() {
    let house = house("").await;
    let token = house.token(json!({}));
    let silent = super::free();
    house.edit("issuers:\n", &format!("issuers:\n  - {{ name: new, issuer: \"https://new.test\", audiences: [x], jwks_uri: \"http://{silent}/jwks\" }}\n"));
    let (waits, ()) = tokio::join!(house.reload(), async {
        write(&house, "sub:alice");
        by_itself(async || ask(&house, &token).await == 401).await;
    });
    assert!(waits.unwrap_err().to_string().contains("new has no keys"));
    assert_eq!(ask(&house, &token).await, 401);
}
