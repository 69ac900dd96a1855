//! What a request of 2026-07-28 must look like at the front door, and what an answer looks like.

use sallyport_testkit::everything::Era;
use sallyport_testkit::http::{Answer, Head, Request};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Scene, within};

/// A call of `tool`, with the headers that belong to it unless they are changed.
struct Call {
    message: Value,
    headers: Vec<(String, String)>,
}

fn call(tool: &str, arguments: &Value) -> Call {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Call {
        message: json!({ "jsonrpc": "2.0", "id": "m1", "method": "tools/call", "params": params }),
        headers: vec![
            own("Content-Type", "application/json"),
            own("Accept", "application/json, text/event-stream"),
            own("MCP-Protocol-Version", "2026-07-28"),
            own("Mcp-Method", "tools/call"),
            own("Mcp-Name", tool),
        ],
    }
}

fn echo() -> Call {
    call("echo", &json!({ "text": "x" }))
}

impl Call {
    fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    fn request(&self, token: &str) -> Request {
        let request = Request::post("/mcp").bearer(token).body(self.message.to_string());
        self.headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value))
    }

    async fn send(&self, scene: &Scene) -> anyhow::Result<Answer> {
        let mut connection = scene.gateway.connect().await?;
        connection.ask(&self.request(&scene.token)).await
    }
}

/// Sends each, and compares status and code with what is expected.
async fn expect(scene: &Scene, rows: impl IntoIterator<Item = (&str, Call, u16, i64)>) -> anyhow::Result<()> {
    for (what, call, status, code) in rows {
        let answer = call.send(scene).await?;
        let found = answer.json()?.pointer("/error/code").and_then(Value::as_i64);
        anyhow::ensure!(
            (answer.status(), found) == (status, Some(code)),
            "{what}: {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn p_10_p_11_p_14_p_15_headers_mirror_the_message() {
    let scene = Scene::demo().await.unwrap();
    expect(
        &scene,
        [
            (
                "a modern body without a version header",
                echo().without("MCP-Protocol-Version"),
                400,
                -32020,
            ),
            (
                "another version in the header",
                echo().with("MCP-Protocol-Version", "2025-11-25"),
                400,
                -32020,
            ),
            ("no method", echo().without("Mcp-Method"), 400, -32020),
            (
                "another method",
                echo().with("Mcp-Method", "tools/list"),
                400,
                -32020,
            ),
            (
                "another case",
                echo().with("Mcp-Method", "TOOLS/CALL"),
                400,
                -32020,
            ),
            ("no name", echo().without("Mcp-Name"), 400, -32020),
            ("another name", echo().with("Mcp-Name", "add"), 400, -32020),
        ],
    )
    .await
    .unwrap();
    let spelled = echo()
        .without("Mcp-Method")
        .and("mCP-mETHOD", "tools/call")
        .without("Mcp-Name")
        .and("MCP-NAME", " echo\t");
    let answer = spelled.send(&scene).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    // Of all these, one call was made. Its end is the last thing in the trail, which gathers for a moment.
    let mut calls = Vec::new();
    within(PATIENCE, async || {
        let trail = scene.gateway.run(&["audit", "tail"], "").await?;
        let about_a_call = |line: &&str| line.contains("tool_call");
        calls = trail.lines().filter(about_a_call).map(str::to_owned).collect();
        Ok(calls.iter().any(|line| line.contains("  ok  ")))
    })
    .await
    .unwrap();
    assert_eq!(calls.len(), 2, "{calls:?}");
}

#[tokio::test]
async fn p_17_p_20_values_of_headers_are_read_strictly() {
    let scene = Scene::demo().await.unwrap();
    for good in ["=?base64?ZWNobw==?=", "echo"] {
        let answer = echo().with("Mcp-Name", good).send(&scene).await.unwrap();
        assert_eq!(answer.status(), 200, "{good}: {answer:?}");
    }
    for bad in [
        "=?base64?ZWNobw=?=",
        "=?base64?ZWNobw?=",
        "=?base64?ZWN!bw==?=",
        "=?base64?ZWNobx==?=",
        "=?BASE64?ZWNobw==?=",
        "=?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=",
        "echo\u{e4}",
        "e\tcho",
    ] {
        let answer = echo().with("Mcp-Name", bad).send(&scene).await.unwrap();
        assert_eq!(answer.status(), 400, "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn p_18_p_19_annotated_arguments_have_headers() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    // The gateway must have seen the annotations first.
    scene
        .modern(json!({}))
        .request("tools/list", json!({}))
        .await
        .unwrap();
    let tool = "test_x_mcp_header";
    let list = scene
        .modern(json!({}))
        .request("tools/list", json!({}))
        .await
        .unwrap();
    let tools = list.result().unwrap()["tools"].as_array().unwrap().clone();
    let schema = tools.iter().find(|it| it["name"] == tool).unwrap()["inputSchema"]["properties"].clone();
    let annotated = |kind: &str| {
        let properties = schema.as_object().unwrap();
        let found = properties
            .iter()
            .find(|(_, it)| it["type"] == kind && it.get("x-mcp-header").is_some());
        let (name, it) = found.unwrap();
        (
            name.clone(),
            format!("Mcp-Param-{}", it["x-mcp-header"].as_str().unwrap()),
        )
    };
    let (text, text_header) = annotated("string");
    let (number, number_header) = annotated("integer");
    let right = call(tool, &json!({ (&text): "here", (&number): 42 }))
        .and(&text_header, "here")
        .and(&number_header, "42.0");
    let answer = right.send(&scene).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let missing = call(tool, &json!({ (&text): null }));
    let answer = missing.send(&scene).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let both = || call(tool, &json!({ (&text): "here", (&number): 42 }));
    expect(
        &scene,
        [
            ("no header at all", both(), 400, -32020),
            ("one is missing", both().and(&text_header, "here"), 400, -32020),
            (
                "another value",
                both().and(&text_header, "there").and(&number_header, "42"),
                400,
                -32020,
            ),
            (
                "another number",
                both().and(&text_header, "here").and(&number_header, "43"),
                400,
                -32020,
            ),
        ],
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn p_27_foreign_origins_and_hosts_are_refused_before_the_token_is_looked_at() {
    let scene = Scene::demo().await.unwrap();
    for method in ["POST", "GET", "DELETE", "OPTIONS"] {
        let foreign = Request::new(method, "/mcp").header("Origin", "http://evil.example");
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&foreign)
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{method}: {answer:?}");
        let rebound = Request::new(method, "/mcp").header("Host", "evil.example");
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&rebound)
            .await
            .unwrap();
        assert!(matches!(answer.status(), 403 | 421), "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn p_29_modern_answers_are_json_or_events_without_ids() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    let json_answer = echo().send(&scene).await.unwrap();
    assert_eq!(json_answer.header("content-type"), Some("application/json"));
    let mut told = call("test_tool_with_progress", &json!({}));
    told.message["params"]["_meta"]["progressToken"] = json!(7);
    let mut connection = scene.gateway.connect().await.unwrap();
    let head: Head = connection.begin(&told.request(&scene.token)).await.unwrap();
    assert!(head.is_event_stream(), "{head:?}");
    assert_eq!(head.header("x-accel-buffering"), Some("no"), "{head:?}");
    assert_eq!(head.header("mcp-session-id"), None, "{head:?}");
    let mut events = connection.events();
    let mut seen = 0;
    while let Some(event) = events.next().await.unwrap() {
        assert_eq!((event.id.as_deref(), event.retry), (None, None), "{event:?}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen} events");
}
