//! API keys: made, used, rotated and ended by command, and kept as hashes.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::attack::list;
use crate::support::{Scene, within};

/// How long a command may take to reach a running gateway.
const REACH: Duration = Duration::from_secs(1);

const PROFILES: &str = "profiles:\n  default: { servers: [\"*\"] }\n  team: { servers: [\"*\"] }\n";

async fn status(scene: &Scene, path: &str, key: &str) -> anyhow::Result<u16> {
    let mut connection = scene.gateway.connect().await?;
    Ok(connection.ask(&list(path).bearer(key)).await?.status())
}

/// A key, and the id that it has.
async fn issue(scene: &Scene, more: &[&str]) -> anyhow::Result<(String, String)> {
    let issue = ["-o", "json", "token", "issue", "--api-key", "--user", "ada"];
    let printed = scene.gateway.run(&[&issue, more].concat(), "").await?;
    let printed: Value = serde_json::from_str(&printed)?;
    let text = |name: &str| printed.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok((text("api_key").context("api_key")?, text("id").context("id")?))
}

/// Waits until the gateway answers a key so.
async fn becomes(scene: &Scene, key: &str, expected: u16) -> anyhow::Result<()> {
    within(REACH, async || Ok(status(scene, "/mcp", key).await? == expected))
        .await
        .map(drop)
}

/// Whether a file below the folder holds the text.
fn holds(folder: &std::path::Path, text: &str) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            holds(&path, text)?
        } else {
            let bytes = std::fs::read(&path)?;
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[tokio::test]
async fn an_api_key_opens_its_profile_and_is_kept_as_a_hash() {
    let scene = Scene::with(PROFILES, Vec::new()).await.unwrap();
    let plain = scene
        .gateway
        .run(&["token", "issue", "--api-key", "--user", "ada"], "")
        .await
        .unwrap();
    let key = plain.trim_end();
    assert!(key.starts_with("sp_") && key.len() == 46, "{key}");
    becomes(&scene, key, 200).await.unwrap();
    let (team, _) = issue(&scene, &["--profile", "team", "--ttl", "366d"])
        .await
        .unwrap();
    within(REACH, async || {
        Ok(status(&scene, "/mcp/team", &team).await? == 200)
    })
    .await
    .unwrap();
    // Narrow: for its profile, with its scopes.
    assert_eq!(status(&scene, "/mcp", &team).await.unwrap(), 401);
    let (other, _) = issue(&scene, &["--scope", "other"]).await.unwrap();
    becomes(&scene, &other, 403).await.unwrap();
    for bad in [
        &key[..45],
        &format!("{key}A"),
        "sp_",
        &key.to_uppercase(),
        &key[3..],
    ] {
        assert_eq!(status(&scene, "/mcp", bad).await.unwrap(), 401, "{bad}");
    }
    assert!(!holds(&scene.gateway.data_dir(), key).unwrap());
    assert!(!holds(&scene.gateway.data_dir(), &key[3..]).unwrap());
    assert!(!scene.gateway.log().contains(key));
    for ttl in ["0s", "367d"] {
        let arguments = ["token", "issue", "--api-key", "--user", "ada", "--ttl", ttl];
        assert!(scene.gateway.run(&arguments, "").await.is_err(), "{ttl}");
    }
}

#[tokio::test]
async fn an_api_key_is_listed_rotated_and_revoked() {
    let scene = Scene::demo().await.unwrap();
    let (key, id) = issue(&scene, &[]).await.unwrap();
    becomes(&scene, &key, 200).await.unwrap();
    let listed = async |user: &str| -> anyhow::Result<Vec<(String, String)>> {
        let listed = ["-o", "json", "token", "list", "--user", user];
        let listed: Value = serde_json::from_str(&scene.gateway.run(&listed, "").await?)?;
        let text = |row: &Value, name: &str| {
            row.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let rows = listed.as_array().context("a list")?.iter();
        Ok(rows.map(|row| (text(row, "id"), text(row, "kind"))).collect())
    };
    let kind = |kind: &str| (id.clone(), kind.to_owned());
    assert!(listed("ada").await.unwrap().contains(&kind("api-key")));
    let table = scene.gateway.run(&["token", "list"], "").await.unwrap();
    assert!(table.contains(&id) && !table.contains(&key), "{table}");
    // With an overlap both are good, and then only the new one.
    let rotate = async |id: &str, more: &[&str]| {
        let rotated = scene
            .gateway
            .run(&[&["token", "rotate", id], more].concat(), "")
            .await?;
        anyhow::Ok(rotated.trim_end().to_owned())
    };
    let second = rotate(&id, &["--overlap", "1h"]).await.unwrap();
    becomes(&scene, &second, 200).await.unwrap();
    assert_eq!(status(&scene, "/mcp", &key).await.unwrap(), 200);
    let third = rotate(&id, &[]).await.unwrap();
    becomes(&scene, &third, 200).await.unwrap();
    becomes(&scene, &key, 401).await.unwrap();
    assert!(rotate(&id, &[]).await.is_err(), "what is over is not rotated");
    let ids: Vec<_> = listed("ada").await.unwrap();
    let keys: Vec<_> = ids.iter().filter(|(_, kind)| kind == "api-key").collect();
    assert_eq!(keys.len(), 2, "{ids:?}");
    for (id, _) in keys {
        scene.gateway.run(&["token", "revoke", id], "").await.unwrap();
    }
    for key in [&second, &third] {
        becomes(&scene, key, 401).await.unwrap();
    }
    // Tokens by command end so too, and are no API keys.
    let tokens = listed("ada").await.unwrap();
    let (command, _) = tokens.iter().find(|(_, kind)| kind == "command").unwrap();
    assert!(rotate(command, &[]).await.is_err());
    scene
        .gateway
        .run(&["token", "revoke", command], "")
        .await
        .unwrap();
    becomes(&scene, &scene.token, 401).await.unwrap();
    assert!(listed("nobody").await.is_err());
    let trail = scene
        .gateway
        .run(&["audit", "tail", "-n", "10000"], "")
        .await
        .unwrap();
    assert!(
        trail.contains("api_key_issue") && !trail.contains(&third),
        "{trail}"
    );
}

#[tokio::test]
async fn jw_17_a_revoked_api_key_stays_so_after_a_crash_and_the_others_are_good() {
    let mut scene = Scene::demo().await.unwrap();
    let (key, id) = issue(&scene, &[]).await.unwrap();
    let (other, _) = issue(&scene, &[]).await.unwrap();
    becomes(&scene, &key, 200).await.unwrap();
    scene.gateway.run(&["token", "revoke", &id], "").await.unwrap();
    scene.gateway.kill().await.unwrap();
    scene.gateway.serve().await.unwrap();
    assert_eq!(status(&scene, "/mcp", &key).await.unwrap(), 401);
    assert_eq!(status(&scene, "/mcp", &other).await.unwrap(), 200);
    scene.gateway.run(&["user", "remove", "ada"], "").await.unwrap();
    becomes(&scene, &other, 401).await.unwrap();
}
