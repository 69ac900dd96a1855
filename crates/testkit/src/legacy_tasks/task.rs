//! One task.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Failure, Out, Server, lock, related, text};

/// The tools, and what they say of tasks.
pub(super) const TOOLS: &[(&str, Option<&str>)] = &[
    ("compute", Some("optional")),
    ("job", Some("required")),
    ("broken", Some("optional")),
    ("confirm", Some("optional")),
    ("slow", Some("optional")),
    ("plain", None),
];

/// What a tool says of tasks.
pub(super) fn support(name: &str) -> Option<&'static str> {
    TOOLS.iter().find(|(tool, _)| *tool == name)?.1
}

pub(super) struct Task {
    id: String,
    tool: String,
    label: String,
    ttl: Value,
    /// What its progress bears.
    token: Value,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    status: &'static str,
    /// How often it is looked at before it is done.
    looks: u64,
    /// How it ended.
    end: Option<Result<Value, Failure>>,
    /// Whether somebody waits for the result already: it asks once.
    asks: bool,
}

impl Task {
    pub(super) fn new(id: &str, params: &Value, ttl: Option<&Value>) -> Self {
        let arguments = params.get("arguments").unwrap_or(&Value::Null);
        let tool = text(params, "name").to_owned();
        let status = if tool == "confirm" {
            "input_required"
        } else {
            "working"
        };
        Self {
            id: id.to_owned(),
            label: text(arguments, "label").to_owned(),
            ttl: ttl.cloned().unwrap_or(Value::Null),
            token: params
                .pointer("/_meta/progressToken")
                .cloned()
                .unwrap_or(Value::Null),
            state: Mutex::new(State {
                status,
                looks: arguments.get("looks").and_then(Value::as_u64).unwrap_or(1),
                end: None,
                asks: false,
            }),
            tool,
            changed: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> Value {
        json!({
            "taskId": self.id, "status": lock(&self.state).status, "statusMessage": self.label,
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z",
            "ttl": self.ttl, "pollInterval": 100,
        })
    }

    /// `tasks/get`.
    pub(super) fn look(&self, session: &Out) -> Value {
        let (counts, done) = {
            let mut state = lock(&self.state);
            let counts = state.status == "working" && self.tool != "slow";
            if counts {
                state.looks = state.looks.saturating_sub(1);
            }
            (counts, counts && state.looks == 0)
        };
        let before = self.state();
        if counts && !self.token.is_null() {
            let params = json!({ "progressToken": self.token, "progress": 1, "_meta": related(&self.id) });
            // Nobody may listen.
            let _ = session
                .send(json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }));
        }
        if done {
            self.finish(session);
        }
        before
    }

    /// `tasks/cancel`.
    pub(super) fn cancel(&self, session: &Out) -> Result<Value, Failure> {
        {
            let mut state = lock(&self.state);
            if state.end.is_some() || state.status == "cancelled" {
                return Err((-32602, "the task has ended".to_owned()));
            }
            state.status = "cancelled";
            state.end = Some(Err((-32603, "cancelled".to_owned())));
        }
        self.tell(session);
        Ok(self.state())
    }

    /// `tasks/result`: waits until it has ended.
    pub(super) async fn result(&self, server: &Server, out: &Out, session: &Out) -> Result<Value, Failure> {
        match self.tool.as_str() {
            "slow" => {}
            "confirm" => self.confirm(server, out, session).await,
            _ => self.finish(session),
        }
        loop {
            let changed = self.changed.notified();
            if let Some(end) = lock(&self.state).end.clone() {
                return end;
            }
            changed.await;
        }
    }

    async fn confirm(&self, server: &Server, out: &Out, session: &Out) {
        if std::mem::replace(&mut lock(&self.state).asks, true) {
            return;
        }
        let (first, second) = tokio::join!(
            server.ask(&self.id, "first?", out),
            server.ask(&self.id, "second?", out)
        );
        let said = |answer: Option<Value>| {
            let answer = answer.unwrap_or_default();
            let names_task = answer.get("_meta") == Some(&related(&self.id));
            format!("{}/{names_task}", text(&answer, "action"))
        };
        let text = format!("{} {}", said(first), said(second));
        self.end("completed", Ok(content(&text)), session);
    }

    fn finish(&self, session: &Out) {
        let meta = related(&self.id);
        match self.tool.as_str() {
            "job" => {
                let said = [json!({ "type": "text", "text": "the job failed, as it should" })];
                let result = json!({ "content": said, "isError": true, "_meta": meta });
                self.end("failed", Ok(result), session);
            }
            "broken" => self.end(
                "failed",
                Err((-32603, "it broke, as it should".to_owned())),
                session,
            ),
            _ => {
                let content = [
                    json!({ "type": "text", "text": format!("computed {}", self.label) }),
                    json!({ "type": "resource_link", "uri": "made://by/compute", "name": "made" }),
                ];
                self.end(
                    "completed",
                    Ok(json!({ "content": content, "_meta": meta })),
                    session,
                );
            }
        }
    }

    fn end(&self, status: &'static str, end: Result<Value, Failure>, session: &Out) {
        {
            let mut state = lock(&self.state);
            if state.end.is_some() {
                return;
            }
            state.status = status;
            state.end = Some(end);
        }
        self.tell(session);
    }

    fn tell(&self, session: &Out) {
        self.changed.notify_waiters();
        // Nobody may listen.
        let _ = session.send(json!({
            "jsonrpc": "2.0", "method": "notifications/tasks/status", "params": self.state(),
        }));
    }
}

fn content(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}
