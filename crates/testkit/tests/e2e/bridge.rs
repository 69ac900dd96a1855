//! Clients of one era with servers of the other.

use sallyport_testkit::everything::Era;
use serde_json::json;

use crate::support::{Scene, names};

async fn lists_and_calls(scene: &Scene) -> anyhow::Result<()> {
    let mut session = scene.legacy(json!({})).await?;
    let list = session.request("tools/list", json!({})).await?;
    anyhow::ensure!(names(list.result()?).contains(&"add"), "{list:?}");
    anyhow::ensure!(
        list.result()?.get("ttlMs").is_none(),
        "a legacy list has no ttlMs: {list:?}"
    );
    let sum = session.call("add", json!({ "a": 2, "b": 3 })).await?;
    anyhow::ensure!(
        sum.result()?["structuredContent"] == json!({ "sum": 5.0 }),
        "{sum:?}"
    );
    anyhow::ensure!(sum.result()?.get("resultType").is_none(), "{sum:?}");

    let mut modern = scene.modern(json!({}));
    let list = modern.request("tools/list", json!({})).await?;
    anyhow::ensure!(names(list.result()?).contains(&"add"), "{list:?}");
    anyhow::ensure!(list.result()?.get("ttlMs").is_some(), "{list:?}");
    let sum = modern.call("add", json!({ "a": 2, "b": 3 })).await?;
    anyhow::ensure!(
        sum.result()?["structuredContent"] == json!({ "sum": 5.0 }),
        "{sum:?}"
    );
    anyhow::ensure!(sum.result()?["resultType"] == "complete", "{sum:?}");
    Ok(())
}

#[tokio::test]
async fn both_eras_list_and_call_whatever_the_server_speaks() {
    for era in [Era::Legacy, Era::Modern, Era::Dual] {
        let scene = Scene::http(era).await.unwrap();
        lists_and_calls(&scene)
            .await
            .unwrap_or_else(|error| panic!("{era:?} over HTTP: {error:#}"));
    }
    for era in ["legacy", "modern", "dual"] {
        let scene = Scene::stdio(era).await.unwrap();
        lists_and_calls(&scene)
            .await
            .unwrap_or_else(|error| panic!("{era} over stdio: {error:#}"));
    }
}

#[tokio::test]
async fn a_legacy_client_is_asked_by_servers_of_both_eras() {
    for era in [Era::Legacy, Era::Modern] {
        let scene = Scene::http(era).await.unwrap();
        let session = scene
            .legacy(json!({ "elicitation": {}, "sampling": {} }))
            .await
            .unwrap();
        let mut session = session.answering(|method, params| match method {
            "elicitation/create" => json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c" } }),
            "sampling/createMessage" => json!({
                "role": "assistant", "model": "m", "stopReason": "endTurn",
                "content": { "type": "text", "text": format!("re: {}", params["messages"][0]["content"]["text"]) },
            }),
            other => panic!("asked {other}"),
        });
        let exchange = session
            .call("test_elicitation", json!({ "message": "Who?" }))
            .await
            .unwrap();
        assert!(
            exchange.text().unwrap().contains("action=accept"),
            "{era:?} {exchange:?}"
        );
        let exchange = session
            .call("test_sampling", json!({ "prompt": "Hello" }))
            .await
            .unwrap();
        assert!(exchange.text().unwrap().contains("Hello"), "{era:?} {exchange:?}");
    }
}

#[tokio::test]
async fn a_modern_client_is_asked_by_servers_of_both_eras() {
    for era in [Era::Legacy, Era::Modern] {
        let scene = Scene::http(era).await.unwrap();
        let mut client = scene.modern(json!({ "elicitation": {} }));
        let arguments = json!({ "message": "Who?" });
        let first = client.call("test_elicitation", arguments.clone()).await.unwrap();
        let result = first.result().unwrap();
        assert_eq!(result["resultType"], "input_required", "{era:?} {first:?}");
        let requests = result["inputRequests"].as_object().unwrap();
        let (key, request) = requests.iter().next().unwrap();
        assert_eq!(request["method"], "elicitation/create");
        let answer = json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c" } });
        let second = client
            .retry("test_elicitation", arguments, &first, json!({ key: answer }))
            .await
            .unwrap();
        assert!(
            second.text().unwrap().contains("action=accept"),
            "{era:?} {second:?}"
        );
    }
}
