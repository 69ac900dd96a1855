//! A server with the experimental tasks of revision 2025-11-25, which rmcp does not know: over stdio, and over HTTP with
//! sessions. What its tasks do depends on who looks, not on time, so that tests need not wait.
//!
//! | tool | support | what its task does |
//! | --- | --- | --- |
//! | `compute` | optional | works for `looks` looks (`tasks/get`), or until its result is waited for; its result has a link |
//! | `job` | required | ends with a result that says that it failed |
//! | `broken` | optional | ends with an error |
//! | `confirm` | optional | asks the user twice as soon as its result is waited for |
//! | `slow` | optional | works until it is cancelled |
//! | `plain` | none | is no task |

mod http;
mod stdio;
mod task;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

pub use http::HttpServer;
pub use stdio::stdio;

use task::Task;

/// Where messages of the server go that belong to a request, or to none.
pub(crate) type Out = mpsc::UnboundedSender<Value>;

/// The error of a request: code and text.
type Failure = (i64, String);

/// The server.
#[derive(Default)]
pub struct Server {
    tasks: Mutex<BTreeMap<String, Arc<Task>>>,
    /// The answers that are waited for.
    asked: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    last: AtomicU64,
    /// Every request that came, by method and task.
    came: Mutex<Vec<(String, String)>>,
}

impl Server {
    /// How often a request of this method came.
    #[must_use]
    pub fn came(&self, method: &str) -> usize {
        lock(&self.came).iter().filter(|(came, _)| came == method).count()
    }

    /// Takes one message of a client: a request's response, if it is one. What is said before it goes to `out`, what
    /// belongs to no request to `session`.
    pub(crate) async fn take(self: Arc<Self>, message: Value, out: Out, session: Out) -> Option<Value> {
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            self.answered(&message);
            return None;
        };
        let id = message.get("id")?;
        let params = message.get("params").unwrap_or(&Value::Null);
        lock(&self.came).push((method.to_owned(), text(params, "taskId").to_owned()));
        let done = match method {
            "initialize" => Ok(introduction()),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(tools()),
            "tools/call" => self.call(params),
            "tasks/list" => Ok(json!({ "tasks": self.all() })),
            "tasks/get" => self.task(params).map(|task| task.look(&session)),
            "tasks/cancel" => self.task(params).and_then(|task| task.cancel(&session)),
            "tasks/result" => match self.task(params) {
                Ok(task) => task.result(&self, &out, &session).await,
                Err(failure) => Err(failure),
            },
            _ => Err((-32601, "no such method".to_owned())),
        };
        Some(match done {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
        })
    }

    fn call(&self, params: &Value) -> Result<Value, Failure> {
        let name = text(params, "name");
        let support = task::support(name);
        match (params.get("task"), support) {
            (Some(_), None) => Err((-32601, format!("{name} is not for tasks"))),
            (None, Some("required")) => Err((-32601, format!("{name} is for tasks only"))),
            (None, _) => {
                Ok(json!({ "content": [{ "type": "text", "text": format!("{name} without a task") }] }))
            }
            (Some(asked), Some(_)) => {
                let id = format!("task-{}", self.last.fetch_add(1, Ordering::Relaxed));
                let task = Arc::new(Task::new(&id, params, asked.get("ttl")));
                let state = task.state();
                lock(&self.tasks).insert(id, task);
                Ok(json!({ "task": state }))
            }
        }
    }

    /// Asks the client something on behalf of a task, and waits for its answer.
    pub(crate) async fn ask(&self, task: &str, message: &str, out: &Out) -> Option<Value> {
        let id = format!("q-{}", self.last.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        lock(&self.asked).insert(id.clone(), answer);
        let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } } });
        let params = json!({ "message": message, "requestedSchema": schema, "_meta": related(task) });
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params });
        out.send(request).ok()?;
        answered.await.ok()
    }

    fn answered(&self, message: &Value) {
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default();
        if let Some(answer) = lock(&self.asked).remove(id) {
            let _ = answer.send(message.get("result").cloned().unwrap_or(Value::Null));
        }
    }

    fn task(&self, params: &Value) -> Result<Arc<Task>, Failure> {
        let id = text(params, "taskId");
        let found = lock(&self.tasks).get(id).cloned();
        found.ok_or_else(|| (-32602, format!("no task {id}")))
    }

    fn all(&self) -> Vec<Value> {
        lock(&self.tasks).values().map(|task| task.state()).collect()
    }
}

/// `_meta` of what belongs to a task.
pub(crate) fn related(task: &str) -> Value {
    json!({ "io.modelcontextprotocol/related-task": { "taskId": task } })
}

fn introduction() -> Value {
    let tasks = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "tools": {}, "tasks": tasks },
        "serverInfo": { "name": "legacy-tasks", "version": "1" },
    })
}

fn tools() -> Value {
    let tool = |(name, support): &(&str, Option<&str>)| match support {
        Some(support) => json!({
            "name": name, "inputSchema": { "type": "object" }, "execution": { "taskSupport": support },
        }),
        None => json!({ "name": name, "inputSchema": { "type": "object" } }),
    };
    json!({ "tools": task::TOOLS.iter().map(tool).collect::<Vec<_>>() })
}

pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
