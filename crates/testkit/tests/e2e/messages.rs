//! Messages that are none.

use sallyport_testkit::everything::Era;
use sallyport_testkit::http::{Answer, Request};
use serde_json::json;

use crate::support::{PATIENCE, Scene, within};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

async fn send(scene: &Scene, method: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let request = Request::post("/mcp")
        .bearer(&scene.token)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", method)
        .body(body);
    scene.gateway.connect().await?.ask(&request).await
}

fn code(answer: &Answer) -> Option<i64> {
    answer.json().ok()?.pointer("/error/code")?.as_i64()
}

#[tokio::test]
async fn p_05_jr_01_a_member_that_stands_twice_is_refused() {
    let scene = Scene::demo().await.unwrap();
    for body in [
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{{{META}}}}}"#
        ),
        format!(r#"{{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list","params":{{{META}}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","meth\u006fd":"x","params":{{{META}}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"x","params":{{{META}}}}}"#),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","name":"add",{META}}}}}"#
        ),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META},{META}}}}}"#),
    ] {
        let answer = send(&scene, "tools/list", body.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status(), code(&answer)),
            (400, Some(-32600)),
            "{body} {answer:?}"
        );
    }
}

#[tokio::test]
async fn jr_02_a_depth_bomb_is_refused_and_the_next_call_is_answered() {
    let scene = Scene::demo().await.unwrap();
    let bomb = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{bomb},{META}}}}}"#
    );
    let answer = send(&scene, "tools/call", body.as_bytes()).await.unwrap();
    assert_eq!(
        (answer.status(), code(&answer)),
        (400, Some(-32700)),
        "{answer:?}"
    );
    scene
        .modern(json!({}))
        .call("echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
}

#[tokio::test]
async fn p_02_jr_04_ids_of_a_wrong_kind_are_refused_and_right_ones_come_back() {
    let scene = Scene::demo().await.unwrap();
    for id in ["null", "true", "1.5", "[]", "{}", "1e400"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{{META}}}}}"#);
        let answer = send(&scene, "tools/list", body.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status(), code(&answer)),
            (400, Some(-32600)),
            "{id} {answer:?}"
        );
    }
    for id in ["0", "9007199254740993", "\"\"", r#""a\u0062\n""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{{META}}}}}"#);
        let answer = send(&scene, "tools/list", body.as_bytes()).await.unwrap();
        assert_eq!(answer.status(), 200, "{id} {answer:?}");
        assert!(
            answer.text().contains(&format!(r#""id":{id}"#)),
            "{id} {answer:?}"
        );
    }
}

#[tokio::test]
async fn p_01_jr_05_jr_06_what_is_no_json_is_a_parse_error() {
    let scene = Scene::demo().await.unwrap();
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/list",}"#,
        br#"{'jsonrpc':'2.0','id':1,'method':'tools/list'}"#,
        br#"{"jsonrpc":"2.0","id":NaN,"method":"tools/list"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"} // yes"#,
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/l\xffst\"}",
        b"\xff\xfe{\x00}\x00",
    ];
    for body in bodies {
        let answer = send(&scene, "tools/list", body).await.unwrap();
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            (answer.status(), code(&answer)),
            (400, Some(-32700)),
            "{shown} {answer:?}"
        );
    }
}

#[tokio::test]
async fn p_06_jr_08_a_message_that_is_no_request_is_invalid() {
    let scene = Scene::demo().await.unwrap();
    for body in [
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":3}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","error":{"code":1,"message":"x"}}"#,
        "[]",
        "[1]",
        "7",
        "\"tools/list\"",
    ] {
        let answer = send(&scene, "tools/list", body.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status(), code(&answer)),
            (400, Some(-32600)),
            "{body} {answer:?}"
        );
    }
}

#[tokio::test]
async fn jr_03_no_batch_comes_in() {
    let scene = Scene::demo().await.unwrap();
    let one = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
    for body in [format!("[{one},{one}]"), format!("[{one}]"), "[]".to_owned()] {
        let answer = send(&scene, "tools/list", body.as_bytes()).await.unwrap();
        assert_eq!((answer.status(), code(&answer)), (400, Some(-32600)), "{body}");
    }
    let session = scene.legacy(json!({})).await.unwrap();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let answer = session.post(&json!([ping, ping])).await.unwrap();
    assert_eq!(
        (answer.status(), code(&answer)),
        (400, Some(-32600)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn jr_06_a_name_is_never_mended_into_another() {
    let scene = Scene::demo().await.unwrap();
    for name in [
        r"ec\ud800ho",
        r"echo\u0000",
        r"ech\u00ef\u00bf\u00bd",
        r"\uff45cho",
        r"echo\u200b",
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{{"text":"x"}},{META}}}}}"#
        );
        let right = Request::post("/mcp")
            .bearer(&scene.token)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", "echo")
            .body(body.clone());
        for answer in [
            scene.gateway.connect().await.unwrap().ask(&right).await.unwrap(),
            send(&scene, "tools/call", body.as_bytes()).await.unwrap(),
        ] {
            let known = matches!(code(&answer), Some(-32602 | -32020 | -32700));
            assert!(
                known && answer.json().unwrap().get("result").is_none(),
                "{name} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn p_25_jr_09_what_only_servers_say_is_not_passed_on() {
    let scene = Scene::demo().await.unwrap();
    for (method, body) in [
        ("tools/list", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()),
        (
            "tools/list",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#.to_owned(),
        ),
        (
            "notifications/tools/list_changed",
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#.to_owned(),
        ),
        (
            "notifications/message",
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"x"}}"#
                .to_owned(),
        ),
    ] {
        let answer = send(&scene, method, body.as_bytes()).await.unwrap();
        assert_eq!(answer.status(), 400, "{body} {answer:?}");
    }
}

#[tokio::test]
async fn jr_10_an_unknown_method_is_not_found() {
    let scene = Scene::demo().await.unwrap();
    for method in [
        "foo/bar",
        "rpc.discover",
        "tools/Call",
        "Tools/list",
        "tools/list/",
        "initialize",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{META}}}}}"#);
        let answer = send(&scene, method, body.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status(), code(&answer)),
            (404, Some(-32601)),
            "{method} {answer:?}"
        );
    }
}

#[tokio::test]
async fn jr_11_a_request_says_what_its_client_is() {
    let scene = Scene::demo().await.unwrap();
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
    let large = "x".repeat(1 << 20);
    for params in [
        "{}".to_owned(),
        r#"{"_meta":null}"#.to_owned(),
        r#"{"_meta":[]}"#.to_owned(),
        format!(r#"{{"_meta":{{{version}}}}}"#),
        format!(r#"{{"_meta":{{{capabilities}}}}}"#),
        format!(r#"{{"_meta":{{{version},"io.modelcontextprotocol/clientCapabilities":7}}}}"#),
        format!(r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":7,{capabilities}}}}}"#),
        format!(r#"{{"_meta":{{{version},{capabilities},"x":"{large}"}}}}"#),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{params}}}"#);
        let answer = send(&scene, "tools/list", body.as_bytes()).await.unwrap();
        let shown = &body[..body.len().min(300)];
        assert_eq!(answer.status(), 400, "{shown} {answer:?}");
        assert!(
            matches!(code(&answer), Some(-32602 | -32600 | -32020)),
            "{shown} {answer:?}"
        );
    }
}

#[tokio::test]
async fn jr_14_one_id_in_two_hands_is_two_requests() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|n| {
            // All of them call with the same id, at the same time.
            let mut client = scene.modern(json!({}));
            tokio::spawn(async move {
                let text = format!("call {n}");
                let answer = client.call("echo", json!({ "text": text })).await?;
                anyhow::ensure!(answer.text()? == text, "{n} got {answer:?}");
                anyhow::Ok(())
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn jr_15_a_call_that_wants_no_answer_is_not_made() {
    let scene = Scene::demo().await.unwrap();
    let params = format!(r#"{{"name":"echo","arguments":{{"text":"x"}},{META}}}"#);
    let call = format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":{params}}}"#);
    let answer = send(&scene, "tools/call", call.as_bytes()).await.unwrap();
    assert!(matches!(answer.status(), 202 | 400), "{answer:?}");
    let method = "notifications/cancelled";
    let asked =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"requestId":1,{META}}}}}"#);
    let answer = send(&scene, method, asked.as_bytes()).await.unwrap();
    assert!(matches!(answer.status(), 400 | 404), "{answer:?}");
    // The trail gathers for a moment; what is in it after this call is all that there is from before.
    let mut session = scene.legacy(json!({})).await.unwrap();
    session.call("add", json!({ "a": 1, "b": 2 })).await.unwrap();
    let mut trail = String::new();
    within(PATIENCE, async || {
        trail = scene.gateway.run(&["audit", "tail"], "").await?;
        Ok(trail.contains("target=add"))
    })
    .await
    .unwrap();
    assert!(!trail.contains("echo"), "{trail}");
}
