//! Points of `docs/protocol.md` that show at the front door of a gateway with a real server behind.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_testkit::everything::serve::Server;
use sallyport_testkit::everything::{Era, Options};
use sallyport_testkit::http::Request;
use sallyport_testkit::mcp::{Exchange, Modern};
use serde_json::{Value, json};

use crate::support::{Scene, names, server, servers, within};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// The questions of an `input_required` result.
fn questions(exchange: &Exchange) -> anyhow::Result<Vec<String>> {
    let result = exchange.result()?;
    let asked = result.get("inputRequests").and_then(Value::as_object);
    Ok(asked
        .map(|asked| asked.keys().cloned().collect())
        .unwrap_or_default())
}

/// An answer to whatever a question of this key's request asks.
fn given(exchange: &Exchange, key: &str) -> Value {
    let method = exchange
        .answer
        .pointer(&format!("/result/inputRequests/{key}/method"));
    match method.and_then(Value::as_str) {
        Some("elicitation/create") => {
            json!({ "action": "accept", "content": { "name": "Ada", "ok": true, "color": "red", "context": "c" } })
        }
        Some("sampling/createMessage") => json!({
            "role": "assistant", "model": "m", "content": { "type": "text", "text": "Good day" },
        }),
        _ => json!({ "roots": [] }),
    }
}

fn everything_that_can_be_asked() -> Value {
    json!({ "elicitation": {}, "sampling": {}, "roots": {} })
}

#[tokio::test]
async fn p_37_p_41_pages_of_a_list_agree_whatever_connection_they_come_on() {
    let options = Options {
        extra_tools: 700,
        ..Options::default()
    };
    let behind = Server::start("127.0.0.1:0", options).await.unwrap();
    let scene = Scene::with(&servers(&[("everything", &behind)]), vec![behind])
        .await
        .unwrap();
    let mut walks = Vec::new();
    for _ in 0..2 {
        let (mut cursor, mut walk, mut hints) = (None::<String>, Vec::new(), Vec::new());
        loop {
            let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            // Each request is on a connection of its own.
            let page = scene
                .modern(json!({}))
                .request("tools/list", params)
                .await
                .unwrap();
            let result = page.result().unwrap();
            walk.extend(names(result).into_iter().map(str::to_owned));
            hints.push((result["ttlMs"].is_u64(), result["cacheScope"].clone()));
            cursor = result["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert!(walk.len() > 700, "{}", walk.len());
        assert!(hints.iter().all(|hint| hint.0 && *hint == hints[0]), "{hints:?}");
        walks.push(walk);
    }
    assert_eq!(walks[0], walks[1]);
}

#[tokio::test]
async fn a_long_list_comes_whole_to_all_who_ask_at_once_and_anew_after_a_change() {
    let options = Options {
        extra_tools: 900,
        ..Options::default()
    };
    let behind = Server::start("127.0.0.1:0", options).await.unwrap();
    let scene = Scene::with(&servers(&[("everything", &behind)]), vec![behind])
        .await
        .unwrap();
    let mut stream = scene.modern(json!({}));
    let mut stream = stream.listen(json!({ "toolsListChanged": true })).await.unwrap();
    let first = stream.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let all = async || {
        let asking = (0..8).map(async |number| {
            let list = if number % 2 == 0 {
                scene.modern(json!({})).request("tools/list", json!({})).await
            } else {
                let mut session = scene.legacy(json!({})).await.unwrap();
                session.request("tools/list", json!({})).await
            };
            let list = list.unwrap();
            let result = list.result().unwrap();
            // Large enough for the way that large lists take.
            assert!(result.to_string().len() > 64 << 10);
            names(result).into_iter().map(str::to_owned).collect::<Vec<_>>()
        });
        let lists = futures_util::future::join_all(asking).await;
        assert!(lists.iter().all(|list| *list == lists[0]));
        lists.into_iter().next().unwrap()
    };
    let before = all().await;
    assert!(before.len() > 900, "{}", before.len());
    let changed = scene
        .modern(json!({}))
        .call("test_trigger_tool_change", json!({}))
        .await;
    changed.unwrap().text().unwrap();
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_ne!(all().await, before);
}

#[tokio::test]
async fn p_44_what_discover_promises_works() {
    for era in ERAS {
        let scene = Scene::http(era).await.unwrap();
        let mut client = scene.modern(json!({}));
        let found = client.request("server/discover", json!({})).await.unwrap();
        let result = found.result().unwrap();
        assert!(
            result["supportedVersions"]
                .as_array()
                .unwrap()
                .contains(&json!("2026-07-28"))
        );
        assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string());
        let reference = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
        let argument = json!({ "name": "arg1", "value": "pa" });
        for (capability, method, params) in [
            ("tools", "tools/list", json!({})),
            ("prompts", "prompts/list", json!({})),
            ("resources", "resources/list", json!({})),
            (
                "completions",
                "completion/complete",
                json!({ "ref": reference, "argument": argument }),
            ),
        ] {
            assert!(
                result["capabilities"][capability].is_object(),
                "{capability} of {result}"
            );
            let answer = client.request(method, params).await.unwrap();
            assert!(answer.result().is_ok(), "{method} at {era:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn p_46_a_capability_that_is_missing_is_named() {
    let scene = Scene::http(Era::Modern).await.unwrap();
    let answer = scene
        .modern(json!({}))
        .call("test_missing_capability", json!({}))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.error_code().unwrap()),
        (400, -32021),
        "{answer:?}"
    );
    assert!(answer.answer["error"]["data"]["requiredCapabilities"]["sampling"].is_object());
    let mut able = scene.modern(json!({ "sampling": {} }));
    able.call("test_missing_capability", json!({}))
        .await
        .unwrap()
        .text()
        .unwrap();
}

#[tokio::test]
async fn p_39_p_48_results_that_ask_say_what_and_are_not_kept() {
    for era in ERAS {
        let scene = Scene::http(era).await.unwrap();
        let mut client = scene.modern(everything_that_can_be_asked());
        for tool in [
            "elicitation",
            "sampling",
            "list_roots",
            "multiple_inputs",
            "multi_round",
        ] {
            let name = format!("test_input_required_result_{tool}");
            let asked = client.call(&name, json!({})).await.unwrap();
            let result = asked.result().unwrap();
            assert_eq!(result["resultType"], "input_required", "{asked:?}");
            assert!(!questions(&asked).unwrap().is_empty() || result["requestState"].is_string());
            assert!(
                result.get("ttlMs").is_none() && result.get("cacheScope").is_none(),
                "{result}"
            );
        }
        for (method, params) in [
            ("tools/list", json!({})),
            ("prompts/list", json!({})),
            ("resources/list", json!({})),
            ("server/discover", json!({})),
        ] {
            let answer = client.request(method, params).await.unwrap();
            assert_eq!(answer.result().unwrap()["resultType"], "complete", "{method}");
        }
    }
}

#[tokio::test]
async fn p_53_missing_answers_are_asked_for_again_and_others_are_let_be() {
    for era in ERAS {
        let scene = Scene::http(era).await.unwrap();
        let mut client = scene.modern(everything_that_can_be_asked());
        let tool = "test_input_required_result_multiple_inputs";
        let first = client.call(tool, json!({})).await.unwrap();
        let keys = questions(&first).unwrap();
        assert_eq!(keys.len(), 3, "{era:?} {first:?}");
        let some = json!({ (&keys[0]): given(&first, &keys[0]), "nobody asked": { "action": "accept" } });
        let again = client.retry(tool, json!({}), &first, some).await.unwrap();
        assert_eq!(
            again.result().unwrap()["resultType"],
            "input_required",
            "{era:?} {again:?}"
        );
        let mut all = serde_json::Map::new();
        for key in &keys {
            all.insert(key.clone(), given(&first, key));
        }
        for key in questions(&again).unwrap() {
            all.insert(key.clone(), given(&again, &key));
        }
        let done = client
            .retry(tool, json!({}), &again, Value::Object(all))
            .await
            .unwrap();
        assert!(done.text().unwrap().contains("Good day"), "{era:?} {done:?}");
    }
}

#[tokio::test]
async fn p_54_a_server_that_never_stops_asking_is_stopped() {
    let scene = Scene::http(Era::Modern).await.unwrap();
    let session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    // The answer lacks what was asked for, so the server asks again.
    let mut session = session.answering(|_, _| json!({ "action": "accept", "content": {} }));
    let answer = session
        .call("test_input_required_result_elicitation", json!({}))
        .await
        .unwrap();
    let failed = answer.answer.pointer("/result/isError") == Some(&json!(true));
    assert!(failed || answer.error_code().is_ok(), "{answer:?}");
    assert!(
        (2..=100).contains(&answer.asked.len()),
        "asked {} times",
        answer.asked.len()
    );
}

#[tokio::test]
async fn p_59_what_belongs_to_a_request_is_not_on_a_subscription() {
    for era in ERAS {
        let scene = Scene::http(era).await.unwrap();
        let mut listener = scene.modern(json!({}));
        let mut stream = listener
            .listen(json!({ "toolsListChanged": true }))
            .await
            .unwrap();
        let first = stream.message().await.unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        let meta = json!({ "progressToken": 1, "io.modelcontextprotocol/logLevel": "debug" });
        let mut caller = scene.modern(json!({}));
        for tool in ["test_tool_with_progress", "test_tool_with_logging"] {
            let params = json!({ "name": tool, "arguments": {}, "_meta": meta });
            let told = caller.request("tools/call", params).await.unwrap();
            told.text().unwrap();
        }
        caller.call("test_trigger_tool_change", json!({})).await.unwrap();
        let next = stream.message().await.unwrap();
        assert_eq!(next["method"], "notifications/tools/list_changed", "{era:?}");
    }
}

#[tokio::test]
async fn p_63_progress_bears_the_callers_token_in_its_type_and_rises_to_the_response() {
    for era in ERAS {
        let scene = Scene::http(era).await.unwrap();
        for token in [json!(7), json!("7"), json!(0), json!("\u{e4}\"")] {
            let params = json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": token } });
            let modern = scene
                .modern(json!({}))
                .request("tools/call", params.clone())
                .await
                .unwrap();
            let mut session = scene.legacy(json!({})).await.unwrap();
            let legacy = session.request("tools/call", params).await.unwrap();
            for told in [modern, legacy] {
                let notes: Vec<_> = told.notifications.iter().map(|note| &note["params"]).collect();
                assert!(
                    notes.iter().all(|note| note["progressToken"] == token),
                    "{era:?} {told:?}"
                );
                let values: Vec<_> = notes
                    .iter()
                    .map(|note| note["progress"].as_f64().unwrap())
                    .collect();
                assert_eq!(values, [0.0, 50.0, 100.0], "{era:?}");
                told.text().unwrap();
            }
        }
    }
}

#[tokio::test]
async fn p_69_the_log_comes_to_those_who_ask_for_it() {
    // A legacy server over HTTP would put the log on another stream than the call.
    let scenes = [Scene::http(Era::Modern).await, Scene::stdio("legacy").await];
    for (number, scene) in scenes.into_iter().enumerate() {
        let scene = scene.unwrap();
        let mut client = scene.modern(json!({}));
        let with = |level: Option<&str>| {
            let meta = level.map_or_else(
                || json!({}),
                |level| json!({ "io.modelcontextprotocol/logLevel": level }),
            );
            json!({ "name": "test_tool_with_logging", "arguments": {}, "_meta": meta })
        };
        for (level, count) in [
            (None, 0),
            (Some("error"), 0),
            (Some("info"), 3),
            (Some("debug"), 3),
            (None, 0),
        ] {
            let told = client.request("tools/call", with(level)).await.unwrap();
            assert_eq!(
                told.notifications.len(),
                count,
                "server {number}: {level:?} {told:?}"
            );
        }
        let unknown = client.request("tools/call", with(Some("loud"))).await.unwrap();
        assert_eq!(
            unknown.error_code().unwrap(),
            -32602,
            "server {number}: {unknown:?}"
        );
    }
}

#[tokio::test]
async fn p_74_is_01_a_sessions_id_opens_nothing_by_itself() {
    let scene = Scene::demo().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let bob = scene.token_for("bob", "default").await.unwrap();
    let session = scene.legacy(json!({})).await.unwrap();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let with = |token: Option<&str>, method: &str| {
        let request = Request::new(method, "/mcp")
            .header("Mcp-Session-Id", &session.session)
            .header("MCP-Protocol-Version", "2025-11-25");
        let request = token.map_or_else(|| request.clone(), |token| request.clone().bearer(token));
        if method == "POST" {
            request.rpc(&ping)
        } else {
            request.header("Accept", "text/event-stream")
        }
    };
    for method in ["POST", "GET", "DELETE"] {
        for (token, status) in [(None, 401), (Some("nonsense"), 401), (Some(bob.as_str()), 404)] {
            let answer = scene
                .gateway
                .connect()
                .await
                .unwrap()
                .ask(&with(token, method))
                .await
                .unwrap();
            assert_eq!(answer.status(), status, "{method} {token:?} {answer:?}");
        }
    }
    let own = scene
        .gateway
        .connect()
        .await
        .unwrap()
        .ask(&with(Some(&scene.token), "POST"))
        .await
        .unwrap();
    assert_eq!(own.status(), 200, "{own:?}");
}

#[tokio::test]
async fn p_80_a_session_that_ends_ends_at_the_server_too() {
    let scene = Scene::http(Era::Legacy).await.unwrap();
    let mut watcher = scene.legacy(json!({})).await.unwrap();
    let mut open = async || -> anyhow::Result<u64> {
        let counters = watcher.call("counters", json!({})).await?;
        let counters: Value = serde_json::from_str(counters.text()?)?;
        Ok(counters["open sessions"].as_u64().unwrap())
    };
    let before = open().await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    session
        .call("echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    assert_eq!(open().await.unwrap(), before + 1);
    session.delete().await.unwrap();
    let gone = session.request("tools/list", json!({})).await.unwrap();
    assert_eq!(gone.status, 404);
    within(Duration::from_secs(10), async || Ok(open().await? == before))
        .await
        .unwrap();
}

#[tokio::test]
async fn p_72_initialize_is_answered_with_a_version_that_has_it() {
    let scene = Scene::demo().await.unwrap();
    for asked in ["2026-07-28", "2031-01-01", "nonsense", "2024-11-05"] {
        let session = sallyport_testkit::mcp::Legacy::open(
            scene.gateway.endpoint("default", &scene.token),
            asked,
            json!({}),
        )
        .await
        .unwrap();
        let expected = if asked == "2024-11-05" {
            asked
        } else {
            "2025-11-25"
        };
        assert_eq!(session.revision, expected, "{asked}");
    }
    let mut modern: Modern = scene.modern(json!({}));
    let refused = modern.request("initialize", json!({})).await.unwrap();
    assert_eq!((refused.status, refused.error_code().unwrap()), (404, -32601));
}

/// The bytes of a resource as they are read.
fn bytes_of(content: &Value) -> Option<Vec<u8>> {
    match content["blob"].as_str() {
        Some(blob) => STANDARD.decode(blob).ok(),
        None => Some(content["text"].as_str()?.as_bytes().to_vec()),
    }
}

#[tokio::test]
async fn p_114_digests_of_skills_hold_through_the_gateway() {
    let (one, two) = (
        server(Era::Modern).await.unwrap(),
        server(Era::Modern).await.unwrap(),
    );
    let behind = servers(&[("one", &one), ("two", &two)]);
    let scene = Scene::with(&behind, vec![one, two]).await.unwrap();
    let mut client = scene.modern(json!({}));
    let list = client.request("skills/list", json!({})).await.unwrap();
    let skills = list.result().unwrap()["skills"].as_array().unwrap().clone();
    let mut read = 0;
    for resource in skills
        .iter()
        .filter_map(|skill| skill["resources"].as_array())
        .flatten()
    {
        let answer = client
            .request("resources/read", json!({ "uri": resource["uri"] }))
            .await
            .unwrap();
        let bytes = bytes_of(&answer.result().unwrap()["contents"][0]).unwrap();
        let digest = digest(&SHA256, &bytes);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(resource["digest"], format!("sha256:{digest}"), "{resource}");
        assert_eq!(resource["size"], bytes.len(), "{resource}");
        read += 1;
    }
    assert_eq!(
        read, 10,
        "two servers with two skills of three and two files: {list:?}"
    );
}
