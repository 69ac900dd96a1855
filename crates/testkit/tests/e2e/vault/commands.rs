//! The same from the command line, wherever the keys come from.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sallyport_testkit::process::GatewayProcess;
use serde_json::{Value, json};

use crate::attack::list;
use crate::support::{PATIENCE, Scene, within};

const KEYS: [&str; 3] = [
    "8f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13",
    "9f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13",
    "af1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13",
];
const KEY: &str = "SALLYPORT_MASTER_KEY";
const RETIRED: &str = "SALLYPORT_MASTER_KEY_RETIRED";
const FILE: &str = "SALLYPORT_MASTER_KEY_FILE";

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(gateway: &GatewayProcess, environment: &[(&str, &str)], line: &[&str]) -> Ran {
    let mut command = gateway.command().unwrap();
    let command = command.args(line).envs(environment.iter().copied());
    let output = command.output().await.unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn keys_of_the_environment_are_rotated_by_hand() {
    let gateway = GatewayProcess::prepare("").unwrap();
    let [old, new, _] = KEYS;
    let before = [(KEY, old)];
    let add = ["add", "docs", "http://127.0.0.1:9/mcp"];
    assert_eq!(run(&gateway, &before, &add).await.code, Some(0));
    let told = run(&gateway, &before, &["vault", "rotate"]).await;
    assert_eq!(told.code, Some(1));
    assert!(
        told.err.contains(RETIRED) && told.err.contains("openssl rand"),
        "{}",
        told.err
    );
    let without = run(&gateway, &[(KEY, new)], &["get", "docs"]).await;
    assert_eq!(without.code, Some(1));
    assert!(
        without.err.contains("sealed under the master key"),
        "{}",
        without.err
    );
    let both = [(KEY, new), (RETIRED, old)];
    assert_eq!(run(&gateway, &both, &["get", "docs"]).await.code, Some(0));
    let rotated = run(&gateway, &both, &["-o", "json", "vault", "rotate"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.err);
    assert!(rotated.err.contains("take it away"), "{}", rotated.err);
    let rotated: Value = serde_json::from_str(&rotated.out).unwrap();
    assert_eq!(rotated["take_away_by_hand"], true);
    assert_eq!(rotated["retired"][0]["dropped"], true);
    assert_eq!(
        (&rotated["remaining"], &rotated["unreadable"]),
        (&json!(0), &json!([]))
    );
    let after = [(KEY, new)];
    assert_eq!(run(&gateway, &after, &["get", "docs"]).await.code, Some(0));
    let listed = run(&gateway, &after, &["vault", "list"]).await.out;
    let id = rotated["current"].as_str().unwrap();
    assert!(listed.starts_with("STATE") && listed.contains(id), "{listed}");
    assert_eq!(listed.lines().count(), 2);
    assert_eq!(run(&gateway, &before, &["get", "docs"]).await.code, Some(1));
    let verified = run(&gateway, &after, &["audit", "verify"]).await;
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    let trail = run(&gateway, &after, &["audit", "tail"]).await.out;
    assert_eq!(
        trail.matches("vault_rotate").count(),
        4,
        "begun and ended: {trail}"
    );
    for text in [&listed, &trail] {
        assert!(!KEYS.iter().any(|key| text.contains(&key[..12])), "{text}");
    }
}

#[tokio::test]
async fn va_04_bad_sources_of_keys_are_named_and_change_nothing() {
    let gateway = GatewayProcess::prepare("").unwrap();
    let [key, other, third] = KEYS;
    let made = run(
        &gateway,
        &[(KEY, key)],
        &["add", "docs", "http://127.0.0.1:9/mcp"],
    )
    .await;
    assert_eq!(made.code, Some(0));
    let folder = gateway.data_dir();
    let path = |name: &str| folder.join(name).display().to_string();
    let file = |name: &str, text: &str, mode: u32| {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        path(name)
    };
    let zeros = "0".repeat(64);
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[(RETIRED, other)], "goes with SALLYPORT_MASTER_KEY"),
        (&[(KEY, key), (RETIRED, key)], "given twice"),
        (
            &[(KEY, key), (RETIRED, &format!("{other},{other}"))],
            "given twice",
        ),
        (
            &[(KEY, key), (RETIRED, "short")],
            "key 1 of those that only open: the master key must be 32",
        ),
        (
            &[(KEY, key), (RETIRED, &format!("{other} {zeros}"))],
            "key 2 of those that only open: the master key is a",
        ),
        (&[(KEY, "changeme")], "must be 32 random bytes"),
        (&[(KEY, other)], "sealed under the master key"),
        (&[(KEY, other), (RETIRED, third)], "sealed under the master key"),
        (&[(FILE, &path("none"))], "there is no"),
        (&[(FILE, &path(""))], "not a regular file"),
        (&[(FILE, &file("loose", key, 0o644))], "chmod 600"),
        (
            &[(FILE, &file("line", &format!("{key}\n{other}\n"), 0o600))],
            "line 2 of",
        ),
        (
            &[(FILE, &file("twice", &format!("{key}\nretired {key}\n"), 0o600))],
            "given twice",
        ),
    ];
    for (environment, expected) in cases {
        for line in [&["vault", "rotate"][..], &["vault", "list"], &["serve"]] {
            let ran = run(&gateway, environment, line).await;
            assert_eq!(ran.code, Some(1), "{expected}: {line:?} {}", ran.err);
            assert!(ran.err.contains(expected), "{line:?} {expected}: {}", ran.err);
            assert!(!KEYS.iter().any(|key| ran.err.contains(key)));
        }
    }
    // A key that opens nothing does no harm, and is said to be of no use.
    let useless = [(KEY, key), (RETIRED, other)];
    let ran = run(&gateway, &useless, &["vault", "rotate"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("nothing is sealed under"), "{}", ran.err);
    assert_eq!(run(&gateway, &[(KEY, key)], &["get", "docs"]).await.code, Some(0));
    // Announced first and rotated to afterwards, as several gateways on one store want it.
    let rotated = run(&gateway, &[(KEY, other), (RETIRED, key)], &["vault", "rotate"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.err);
    assert_eq!(
        run(&gateway, &[(KEY, other)], &["get", "docs"]).await.code,
        Some(0)
    );
}

#[tokio::test]
async fn one_command_rotates_at_a_time() {
    let gateway = GatewayProcess::prepare("").unwrap();
    gateway.run(&["vault", "list"], "").await.unwrap();
    let held = std::fs::File::create(gateway.data_dir().join("vault.lock")).unwrap();
    held.lock().unwrap();
    let ran = run(&gateway, &[], &["vault", "rotate"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("another `vault rotate`"), "{}", ran.err);
    drop(held);
    let printed = gateway.run(&["vault", "rotate"], "").await.unwrap();
    let listed = gateway.run(&["-o", "json", "vault", "list"], "").await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["key"], printed.trim());
    let mode = std::fs::metadata(gateway.data_dir().join("master.key")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

/// As a deployment does it.
fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[tokio::test]
async fn a_key_file_may_be_changed_by_hand_and_a_broken_one_changes_nothing() {
    let scene = Scene::demo().await.unwrap();
    let path = scene.gateway.data_dir().join("master.key");
    let old = std::fs::read_to_string(&path).unwrap();
    let works = async || {
        let mut connection = scene.gateway.connect().await.unwrap();
        let answer = connection.ask(&list("/mcp").bearer(&scene.token)).await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    let says = async |text: &str| {
        let said = async || Ok(scene.gateway.log().contains(text));
        within(PATIENCE, said).await.unwrap();
    };
    put(&path, "half a k");
    says("the master keys cannot be read anew").await;
    works().await;
    put(&path, &format!("{}\nretired {}\n", KEYS[0], old.trim()));
    says("another master key seals").await;
    works().await;
    scene.gateway.run(&["vault", "rotate"], "").await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", KEYS[0]));
    works().await;
}
