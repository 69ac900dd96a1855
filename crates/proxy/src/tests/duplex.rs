//! Conversations over one connection, of either era.

mod ending;
mod eras;
mod running;

use bytes::Bytes;
use futures_util::{SinkExt as _, sink, stream};
use sallyport_core::fault::Fault;
use sallyport_core::{Secret, UserId};
use sallyport_net::Duplex;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::{Conversation, Credential, Ended, Entrance, Manner, Turned};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

/// What a client at the end of its connection sends and hears.
struct Line {
    to: mpsc::UnboundedSender<Result<Bytes, Fault>>,
    from: mpsc::UnboundedReceiver<Bytes>,
    conversation: Conversation,
    life: JoinHandle<Ended>,
}

fn entrance(who: &str, manner: Manner) -> Entrance {
    Entrance {
        path: "/mcp".to_owned(),
        credential: Credential::token(Secret::from(who)),
        manner,
        peer: "127.0.0.1".parse().expect("an address"),
        request: RequestId(9),
    }
}

fn enter(gate: &Gate, who: &str, manner: Manner) -> Result<Conversation, Turned> {
    gate.proxy.enter_duplex(&gate.worker, entrance(who, manner))
}

/// A connection's near end, over these two channels.
fn wire(heard: mpsc::UnboundedReceiver<Result<Bytes, Fault>>, said: mpsc::UnboundedSender<Bytes>) -> Duplex {
    let incoming = stream::unfold(heard, |mut heard| async { Some((heard.recv().await?, heard)) });
    let outgoing = sink::unfold(said, |said, message: Bytes| async move {
        match said.send(message) {
            Ok(()) => Ok(said),
            Err(_) => Err(Fault::gateway("write", "closed")),
        }
    });
    Duplex {
        incoming: Box::pin(incoming),
        outgoing: Box::pin(outgoing.sink_map_err(|fault| fault)),
    }
}

impl Line {
    fn open(gate: &Gate, manner: Manner) -> Self {
        Self::open_as(gate, "alice", manner)
    }

    fn open_as(gate: &Gate, who: &str, manner: Manner) -> Self {
        let conversation = enter(gate, who, manner).expect("let in");
        let (to, heard) = mpsc::unbounded_channel();
        let (said, from) = mpsc::unbounded_channel();
        let life = tokio::spawn(conversation.clone().run(wire(heard, said)));
        Self {
            to,
            from,
            conversation,
            life,
        }
    }

    fn say(&self, message: impl ToString) {
        let message = Bytes::from(message.to_string());
        self.to.send(Ok(message)).expect("a conversation that listens");
    }

    /// The next message; `None` at the end.
    async fn hear(&mut self) -> Option<Value> {
        let heard = timeout(SOON, self.from.recv())
            .await
            .expect("a message in time")?;
        Some(serde_json::from_slice(&heard).expect("JSON"))
    }

    /// The answer to a request, whatever else is said before it.
    async fn answer(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        loop {
            let heard = self.hear().await.expect("an answer");
            if heard["id"] == id && heard.get("method").is_none() {
                return heard;
            }
        }
    }

    async fn ask(&mut self, request: Value) -> Value {
        self.say(&request);
        self.answer(request["id"].clone()).await
    }

    /// Opens a legacy session.
    async fn initialize(&mut self, revision: &str, capabilities: Value) -> Value {
        let params = json!({"protocolVersion": revision, "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        let opened = self.ask(request("init", "initialize", params)).await;
        self.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        opened
    }

    /// Says nothing more, and waits for the end. What was said until then comes with it.
    async fn leave(mut self) -> (Ended, Vec<Value>) {
        drop(self.to);
        let ended = timeout(SOON, self.life)
            .await
            .expect("an end in time")
            .expect("an end");
        let mut rest = Vec::new();
        while let Some(message) = self.from.recv().await {
            rest.push(serde_json::from_slice(&message).expect("JSON"));
        }
        (ended, rest)
    }

    /// Waits for an end that the gateway makes.
    async fn ended(self) -> Ended {
        timeout(SOON, self.life)
            .await
            .expect("an end in time")
            .expect("an end")
    }
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A modern request, with everything that it needs.
fn modern(id: impl Into<Value>, method: &str, params: Value) -> Value {
    modern_with(id, method, params, json!({}))
}

fn modern_with(id: impl Into<Value>, method: &str, mut params: Value, capabilities: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    request(id, method, params)
}

fn cancel(id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id.into()}})
}

fn echo(text: &str) -> Value {
    json!({"name": "echo", "arguments": {"text": text}})
}

/// A call that goes on for long, and says so.
fn countdown() -> Value {
    json!({"name": "countdown", "arguments": {"from": 20}, "_meta": {"progressToken": "t"}})
}

/// Waits until the trail says how the last call has ended.
async fn last_outcome(gate: &Gate, expected: sallyport_core::audit::Outcome) {
    let ended = async {
        while gate.trail.outcomes().last() != Some(&expected) {
            tokio::task::yield_now().await;
        }
    };
    let in_time = timeout(SOON, ended).await;
    assert!(in_time.is_ok(), "{:?}", gate.trail.outcomes());
}

#[tokio::test]
async fn who_comes_in_and_who_does_not() {
    let mut config = demo();
    config.limits.streams_per_principal = 1;
    let gate = Gate::new(config);
    let status = |who: &str| {
        let turned = enter(&gate, who, Manner::EachMessage).err().expect("turned away");
        turned.response().status().as_u16()
    };
    assert_eq!(
        (status("expired"), status("noscope"), status("two words")),
        (401, 403, 401)
    );
    let held = enter(&gate, "alice", Manner::EachMessage).expect("at the limit");
    assert_eq!(status("alice"), 429, "one past it");
    drop(held);
    assert!(enter(&gate, "alice", Manner::EachMessage).is_ok());
    let nowhere = Entrance {
        path: "/mcp/other".to_owned(),
        ..entrance("alice", Manner::EachMessage)
    };
    let turned = gate
        .proxy
        .enter_duplex(&gate.worker, nowhere)
        .err()
        .expect("turned");
    assert_eq!(turned.response().status().as_u16(), 404);
    let challenge = enter(&gate, "expired", Manner::EachMessage)
        .err()
        .expect("turned away");
    let response = challenge.response();
    let header = response.headers()["www-authenticate"].to_str().expect("text");
    assert!(
        header.contains("/.well-known/oauth-protected-resource/mcp"),
        "{header}"
    );
}

#[tokio::test]
async fn the_local_user_needs_no_token_but_a_profile_that_admits_it() {
    let mut closed = demo();
    closed.endpoints[0].rules.users = sallyport_core::policy::Selection::default();
    let local = || Entrance {
        credential: Credential::local(UserId::new("operator")),
        ..entrance("", Manner::FirstMessage(SOON))
    };
    let gate = Gate::new(closed);
    assert!(gate.proxy.enter_duplex(&gate.worker, local()).is_err());
    let gate = Gate::new(demo());
    assert!(gate.proxy.enter_duplex(&gate.worker, local()).is_ok());
}
