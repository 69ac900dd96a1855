//! Messages that are none.

use sallyport_testkit::http::{Answer, Request};
use serde_json::json;

use crate::support::Scene;

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
async fn jr_01_a_member_that_stands_twice_is_refused() {
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
async fn jr_04_ids_of_a_wrong_kind_are_refused_and_right_ones_come_back() {
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
async fn jr_05_and_06_what_is_no_json_is_a_parse_error() {
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
async fn jr_08_a_message_that_is_no_request_is_invalid() {
    let scene = Scene::demo().await.unwrap();
    for body in [
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":3}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
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
