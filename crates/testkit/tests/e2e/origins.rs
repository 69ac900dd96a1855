//! Foreign origins and hosts.

use std::process::Stdio;

use sallyport_testkit::http::Request;
use sallyport_testkit::process::{GatewayProcess, program};
use serde_json::json;

use crate::support::{PATIENCE, Scene, within};

fn list(token: &str) -> Request {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } } });
    let request = Request::post("/mcp").bearer(token).rpc(&message);
    request
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", "tools/list")
}

#[tokio::test]
async fn oh_01_a_foreign_origin_is_refused_on_every_method() {
    let scene = Scene::demo().await.unwrap();
    for origin in [
        "https://evil.test",
        "null",
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "file://",
    ] {
        for request in [
            list(&scene.token),
            Request::get("/mcp").bearer(&scene.token),
            Request::new("DELETE", "/mcp").bearer(&scene.token),
            Request::post("/mcp"),
        ] {
            let request = request.header("Origin", origin);
            let answer = scene
                .gateway
                .connect()
                .await
                .unwrap()
                .ask(&request)
                .await
                .unwrap();
            assert_eq!(answer.status(), 403, "{origin} {request:?} {answer:?}");
            assert!(
                answer.header("access-control-allow-origin").is_none(),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn oh_02_a_foreign_host_is_refused() {
    let scene = Scene::demo().await.unwrap();
    for host in ["rebind.evil.test", "evil.test:80", "user@localhost"] {
        let request = list(&scene.token).header("Host", host);
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap();
        assert!(matches!(answer.status(), 400 | 403 | 421), "{host} {answer:?}");
    }
    let mut connection = scene.gateway.connect().await.unwrap();
    connection.write(b"GET /mcp HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status(), 400);
}

#[tokio::test]
async fn oh_03_the_loopback_names_are_one_and_others_are_not() {
    let scene = Scene::demo().await.unwrap();
    let port = scene.gateway.address().port();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("127.1:{port}"), 403),
        (format!("0.0.0.0:{port}"), 403),
        (format!("2130706433:{port}"), 403),
    ] {
        let request = list(&scene.token).header("Host", &host);
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap();
        let right = answer.status() == status || (status == 403 && matches!(answer.status(), 400 | 421));
        assert!(right, "{host} {answer:?}");
    }
}

#[tokio::test]
async fn oh_07_a_form_of_another_page_is_no_message() {
    let scene = Scene::demo().await.unwrap();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
        let request = Request::post("/mcp")
            .bearer(&scene.token)
            .header("Content-Type", kind);
        let request = request
            .header("Accept", "application/json, text/event-stream")
            .body(message);
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap();
        assert!(matches!(answer.status(), 400 | 415), "{kind} {answer:?}");
    }
}

#[tokio::test]
async fn oh_01_a_foreign_origin_is_refused_on_every_route() {
    let scene = Scene::demo().await.unwrap();
    for (method, path) in [
        ("POST", "/token"),
        ("POST", "/register"),
        ("GET", "/authorize"),
        ("POST", "/login"),
        ("POST", "/consent"),
        ("POST", "/setup"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("OPTIONS", "/mcp"),
        ("OPTIONS", "/token"),
        ("POST", "/mcp/none"),
    ] {
        let request = Request::new(method, path).header("Origin", "https://evil.test");
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{method} {path} {answer:?}");
        assert!(
            answer.header("access-control-allow-origin").is_none(),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn oh_04_no_socket_opens_for_anybody() {
    let scene = Scene::demo().await.unwrap();
    for (origin, token) in [
        (Some("https://evil.test"), false),
        (Some("https://evil.test"), true),
        (None, false),
        (None, true),
    ] {
        let mut request = Request::get("/mcp")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Cookie", "sallyport-session=x");
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        if token {
            request = request.bearer(&scene.token);
        }
        let wire = request.wire(scene.gateway.host());
        let mut connection = scene.gateway.connect().await.unwrap();
        connection.write(&wire).await.unwrap();
        // 101 would be passed over here, and nothing would follow it.
        let answer = connection.answer().await.unwrap();
        let expected: &[u16] = match (origin, token) {
            (Some(_), _) => &[403],
            (None, false) => &[401],
            (None, true) => &[400, 405, 406],
        };
        assert!(
            expected.contains(&answer.status()),
            "{origin:?} {token} {answer:?}"
        );
    }
}

#[tokio::test]
async fn oh_05_nobody_else_reaches_a_gateway_that_was_just_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sallyport.yaml");
    let run = async |text: &str, verb: &[&str]| {
        std::fs::write(&file, text)?;
        let output = tokio::process::Command::new(program("sallyport")?)
            .arg("-c")
            .arg(&file)
            .args(verb)
            .env("HOME", folder.path())
            .output()
            .await?;
        let printed = [output.stdout, output.stderr].concat();
        Ok::<_, anyhow::Error>((
            output.status.code(),
            String::from_utf8_lossy(&printed).into_owned(),
        ))
    };
    let (status, shown) = run("", &["-o", "json", "config", "show"]).await.unwrap();
    assert_eq!(status, Some(0), "{shown}");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for name in ["listen", "admin_listen"] {
        let address: std::net::SocketAddr = shown[name].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback(), "{name} {address}");
    }
    for wide in [
        "listen: 0.0.0.0:8717\nauth: { mode: none }\n",
        "listen: \"[::]:8717\"\npublic_url: https://gateway.test\nauth: { mode: none }\n",
        "listen: 192.0.2.1:8717\nauth: { mode: none }\n",
        "listen: 0.0.0.0:8717\n",
    ] {
        let (status, said) = run(wide, &["serve"]).await.unwrap();
        assert_eq!(status, Some(78), "{wide} {said}");
    }
    let (status, said) = run("auth: { mode: none }\n", &["serve", "--listen", "0.0.0.0:8717"])
        .await
        .unwrap();
    assert_eq!(status, Some(78), "{said}");
}

#[tokio::test]
async fn pages_of_allowed_origins_log_in_as_clients_and_others_do_not() {
    let scene = Scene::with("allowed_origins: [\"https://app.test\"]\n", Vec::new())
        .await
        .unwrap();
    let ask = async |request: Request| {
        scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap()
    };
    let paths = [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/register",
        "/register/some-client",
        "/token",
        "/revoke",
    ];
    for path in paths {
        for origin in ["https://app.test", "http://localhost:6274", "http://127.0.0.1:1"] {
            let preflight = Request::new("OPTIONS", path)
                .header("Origin", origin)
                .header("Access-Control-Request-Method", "POST")
                .header(
                    "Access-Control-Request-Headers",
                    "authorization,content-type,mcp-protocol-version",
                );
            let answer = ask(preflight).await;
            assert_eq!(answer.status(), 204, "{path} {origin}");
            let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
            for header in ["authorization", "content-type", "mcp-protocol-version"] {
                assert!(allowed.contains(header), "{path}: {allowed}");
            }
            for answer in [answer, ask(Request::get(path).header("Origin", origin)).await] {
                assert_eq!(
                    answer.header("access-control-allow-origin"),
                    Some(origin),
                    "{path}"
                );
                assert!(
                    answer.header("access-control-allow-credentials").is_none(),
                    "{path}"
                );
                let varies = answer
                    .head
                    .all("vary")
                    .any(|vary| vary.eq_ignore_ascii_case("origin"));
                assert!(varies, "{path}");
            }
        }
        let foreign = ask(Request::get(path).header("Origin", "https://evil.test")).await;
        assert_eq!(foreign.status(), 403, "{path}");
        assert!(foreign.header("access-control-allow-origin").is_none(), "{path}");
        let plain = ask(Request::get(path)).await;
        assert!(plain.header("access-control-allow-origin").is_none(), "{path}");
    }
}

/// What each answer tells browsers, whatever it answers.
const EVERYWHERE: [&str; 6] = [
    "/",
    "/login",
    "/mcp",
    "/.well-known/oauth-authorization-server",
    "/verify",
    "/nothing",
];

#[tokio::test]
async fn over_https_browsers_are_told_to_stay_there() {
    let plain = Scene::demo().await.unwrap();
    let gateway = GatewayProcess::prepare("").unwrap();
    let mut serve = gateway.command().unwrap();
    serve.args(["serve", "--public-url", "https://gateway.example"]);
    serve.stdout(Stdio::null()).stderr(Stdio::null());
    let _gateway = serve.spawn().unwrap();
    within(PATIENCE, async || {
        Ok(gateway.admin("/readyz").await.unwrap_or(0) == 200)
    })
    .await
    .unwrap();
    for path in EVERYWHERE {
        let ask = Request::get(path).header("Host", "gateway.example");
        let answer = gateway.connect().await.unwrap().ask(&ask).await.unwrap();
        let told = answer.header("strict-transport-security");
        assert_eq!(told, Some("max-age=31536000"), "{path} {answer:?}");
        let plain = plain.gateway.connect().await.unwrap();
        let answer = { plain }.ask(&Request::get(path)).await.unwrap();
        assert!(answer.header("strict-transport-security").is_none(), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/nothing"] {
        let answer = plain.gateway.admin_page(path).await.unwrap();
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}
