//! JR-13: what a lying server offers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sallyport_testkit::mcp::Modern;
use serde_json::{Value, json};

use super::{Canary, Stage};

/// What a legacy server that offers `tools` says to a message.
fn answer(message: &Value, tools: &Value) -> Option<Value> {
    let (member, said) = match message["method"].as_str()? {
        "initialize" => {
            let info = json!({ "name": "liar", "version": "1" });
            let capabilities = json!({ "tools": {} });
            let result =
                json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info });
            ("result", result)
        }
        "tools/list" => ("result", json!({ "tools": tools })),
        "tools/call" => (
            "result",
            json!({ "content": [{ "type": "text", "text": "called" }] }),
        ),
        _ => ("error", json!({ "code": -32601, "message": "no such method" })),
    };
    Some(json!({ "jsonrpc": "2.0", "id": message.get("id")?, member: said }))
}

/// Serves `tools` on a port of its own; its URL.
async fn liar(tools: Value) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let tools = Arc::new(tools);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tools = Arc::clone(&tools);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let tools = Arc::clone(&tools);
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let message = serde_json::from_slice(&body).unwrap_or_default();
                    let mut response = Response::new(Full::new(Bytes::new()));
                    match answer(&message, &tools) {
                        Some(answer) => {
                            *response.body_mut() = Full::new(answer.to_string().into());
                            let json = http::HeaderValue::from_static("application/json");
                            response.headers_mut().insert("content-type", json);
                        }
                        None => *response.status_mut() = StatusCode::ACCEPTED,
                    }
                    Ok::<_, hyper::Error>(response)
                }
            });
            tokio::spawn(async move {
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    });
    Ok(url)
}

#[tokio::test]
async fn jr_13_a_schema_bomb_takes_nothing_with_it() {
    let canary = Canary::new().unwrap();
    let tools = vec![
        json!({ "name": "good", "inputSchema": { "type": "object" } }),
        json!({ "name": "wide", "inputSchema": { "type": "object", "anyOf": vec![json!({}); 10_000] } }),
        json!({ "name": "recursive", "inputSchema": {
            "type": "object", "properties": { "x": { "$ref": "#" } } } }),
        json!({ "name": "regex", "inputSchema": {
            "type": "object", "properties": { "x": { "type": "string", "pattern": "^(a+)+$" } } } }),
        json!({ "name": "network", "inputSchema": { "type": "object", "$ref": canary.url().unwrap() } }),
    ];
    let url = liar(json!(tools)).await.unwrap();
    let mut stage = Stage::with(&format!("servers: {{ liar: {{ url: \"{url}\" }} }}\n"))
        .await
        .unwrap();
    let tokens = stage.tokens().await.unwrap();
    let mut client = Modern::new(stage.gateway.endpoint("default", &tokens.access), json!({}));
    let list = client.request("tools/list", json!({})).await.unwrap();
    let names = crate::support::names(list.result().unwrap());
    assert!(names.contains(&"good") && !names.contains(&"wide"), "{names:?}");
    // Where a schema is let through, nobody evaluates it: the client's words are not weighed by the liar's rule.
    let evil = "a".repeat(50_000) + "!";
    for tool in ["good", "regex", "recursive", "network"] {
        let answer = client.call(tool, json!({ "x": evil })).await.unwrap();
        assert_eq!(answer.text().unwrap(), "called", "{tool}");
    }
    assert!(canary.sings());
}
