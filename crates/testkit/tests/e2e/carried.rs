//! Conversations over WebSocket and framed TCP, as their clients have them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sallyport_core::{Clock as _, Secret};
use sallyport_net::egress::{Egress, EgressPolicy, Reach};
use sallyport_net::framed::{self, AuthFrame};
use sallyport_net::{Duplex, ws};
use sallyport_testkit::gateway::TestGateway;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What carries the messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    WebSocket,
    Tcp,
}

/// A gateway with both carriers, and `more` in its configuration.
pub(crate) async fn gateway(more: &str) -> TestGateway {
    let gateway = TestGateway::start(&format!("tcp_listen: 127.0.0.1:0\n{more}"))
        .await
        .unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway
}

/// One client on one connection.
pub(crate) struct Client {
    duplex: Duplex,
    /// What came and was not waited for.
    pub(crate) heard: Vec<Value>,
}

impl Client {
    /// Connects to the default profile.
    pub(crate) async fn open(gateway: &TestGateway, carrier: Carrier, token: &str) -> anyhow::Result<Self> {
        let egress = Egress::new(EgressPolicy::default());
        let duplex = match carrier {
            Carrier::WebSocket => {
                let url = Url::parse(&format!("ws://{}/mcp/ws", gateway.gateway().addr()))?;
                let target = egress.target(&url, Reach::Operator)?;
                let bearer = Secret::new(format!("Bearer {token}"));
                let headers = [("Authorization".to_owned(), bearer)];
                ws::connect(&target, &headers, ws::Options::default()).await?
            }
            Carrier::Tcp => {
                let address = gateway.gateway().tcp_addr().expect("a TCP listener");
                let target = egress.target(&Url::parse(&format!("tcp://{address}"))?, Reach::Operator)?;
                let auth = auth(gateway, token);
                framed::connect(&target, Some(&auth), framed::Options::default()).await?
            }
        };
        Ok(Self {
            duplex,
            heard: Vec::new(),
        })
    }

    /// A session of 2025-11-25 that answers questions of the server.
    pub(crate) async fn session(gateway: &TestGateway, carrier: Carrier, token: &str) -> Self {
        let mut client = Self::open(gateway, carrier, token).await.unwrap();
        let opened = client
            .ask(
                json!("open"),
                "initialize",
                json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": { "elicitation": {} },
                    "clientInfo": { "name": "testkit", "version": "1" },
                }),
            )
            .await;
        assert_eq!(opened["result"]["protocolVersion"], "2025-11-25", "{opened}");
        client
            .say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        client
    }

    pub(crate) async fn say(&mut self, message: Value) {
        let message = Bytes::from(message.to_string());
        self.duplex.outgoing.send(message).await.unwrap();
    }

    /// The next message; `Err` with why there is none.
    pub(crate) async fn next(&mut self) -> Result<Value, String> {
        match timeout(PATIENCE, self.duplex.incoming.next())
            .await
            .expect("nothing comes")
        {
            Some(Ok(message)) => Ok(serde_json::from_slice(&message).unwrap()),
            Some(Err(fault)) => Err(fault.to_string()),
            None => Err("closed".to_owned()),
        }
    }

    /// Reads until a message is what is waited for; questions of the server are answered on the way.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await.unwrap();
            if is_it(&message) {
                return message;
            }
            if message["method"] == "elicitation/create" {
                let content = json!({ "username": "ada", "email": "a@b.c" });
                let result = json!({ "action": "accept", "content": content });
                self.say(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
                    .await;
            }
            self.heard.push(message);
        }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&mut self, id: Value, method: &str, params: Value) -> Value {
        self.say(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .await;
        self.until(|message| message["id"] == id && message.get("method").is_none())
            .await
    }

    pub(crate) async fn call(&mut self, id: Value, tool: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
    }
}

/// An AUTH frame of now.
pub(crate) fn auth(gateway: &TestGateway, token: &str) -> AuthFrame {
    AuthFrame {
        token: Secret::from(token),
        client_id: [7; 16],
        timestamp: u64::try_from(gateway.clock().now().as_secs()).unwrap(),
    }
}

/// The `_meta` of a request of 2026-07-28.
pub(crate) fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        "progressToken": "same",
    });
    params
}

/// The text of a call's result.
pub(crate) fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}

/// Everything that a client does, in both eras, on connections of one carrier.
pub(crate) async fn converse(carrier: Carrier) {
    let behind = crate::support::server(sallyport_testkit::everything::Era::Dual)
        .await
        .unwrap();
    let gateway = gateway(&crate::support::servers(&[("everything", &behind)])).await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;

    let mut legacy = Client::session(&gateway, carrier, &token).await;
    let list = legacy.ask(json!(1), "tools/list", json!({})).await;
    assert!(crate::support::names(&list["result"]).contains(&"echo"), "{list}");
    assert_eq!(
        text(&legacy.call(json!(2), "echo", json!({ "text": "hä" })).await),
        "hä"
    );
    let params =
        json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": 9 } });
    legacy.ask(json!(3), "tools/call", params).await;
    let progress = |message: &&Value| message["method"] == "notifications/progress";
    let told: Vec<_> = legacy.heard.iter().filter(progress).collect();
    assert!(
        told.len() >= 2 && told.iter().all(|told| told["params"]["progressToken"] == 9),
        "{told:?}"
    );
    let asked = legacy
        .call(json!(4), "test_elicitation", json!({ "message": "Who?" }))
        .await;
    assert!(text(&asked).contains("action=accept"), "{asked}");
    legacy.call(json!(5), "test_trigger_tool_change", json!({})).await;
    let is_change = |message: &Value| message["method"] == "notifications/tools/list_changed";
    if !legacy.heard.iter().any(is_change) {
        legacy.until(is_change).await;
    }
    let wait = json!({ "name": "wait", "arguments": { "ms": 600_000 } });
    legacy
        .say(json!({ "jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": wait }))
        .await;
    legacy
        .say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 6 } }))
        .await;
    // The conversation goes on, and nothing is said about the call any more.
    assert_eq!(
        text(&legacy.call(json!(7), "echo", json!({ "text": "on" })).await),
        "on"
    );
    assert!(
        !legacy.heard.iter().any(|message| message["id"] == 6),
        "{:?}",
        legacy.heard
    );

    let mut client = Client::open(&gateway, carrier, &token).await.unwrap();
    let found = client.ask(json!("a"), "server/discover", modern(json!({}))).await;
    assert!(found["result"]["supportedVersions"].is_array(), "{found}");
    let params = modern(json!({ "name": "echo", "arguments": { "text": "new" } }));
    let answer = client.ask(json!("b"), "tools/call", params).await;
    assert_eq!(
        (text(&answer), &answer["result"]["resultType"]),
        ("new", &json!("complete"))
    );
    let refused = client.ask(json!("c"), "no/such", modern(json!({}))).await;
    assert_eq!(refused["error"]["code"], -32601, "{refused}");
    gateway.shutdown().await;
}

/// Two clients with the same ids and progress tokens, at the same time, on one server.
pub(crate) async fn collide(carrier: Carrier) {
    let behind = crate::support::server(sallyport_testkit::everything::Era::Dual)
        .await
        .unwrap();
    let gateway = gateway(&crate::support::servers(&[("everything", &behind)])).await;
    gateway.add_user("bob", false).await.unwrap();
    let mut clients = Vec::new();
    for user in ["ada", "bob"] {
        let token = gateway.log_in(user, "default").await.unwrap().access;
        clients.push((user, Client::session(&gateway, carrier, &token).await));
    }
    const CALLS: u64 = 50;
    for id in 0..CALLS {
        for (user, client) in &mut clients {
            let params = json!({
                "name": "echo",
                "arguments": { "text": format!("{user} {id}") },
                "_meta": { "progressToken": "same" },
            });
            client
                .say(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
                .await;
        }
    }
    for (user, client) in &mut clients {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < CALLS as usize {
            let answer = client.until(|message| message["id"].is_u64()).await;
            let id = answer["id"].as_u64().unwrap();
            assert_eq!(text(&answer), format!("{user} {id}"));
            assert!(seen.insert(id), "answered twice: {answer}");
        }
    }
    gateway.shutdown().await;
}
