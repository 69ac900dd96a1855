//! A legacy server that asks on the session's own stream and not on that of its call, as servers do that are made with
//! an SDK and do not say which request a question is about. It forgets what it asks while nobody listens there.
//!
//! | tool | what it does |
//! | --- | --- |
//! | `ask_apart` | asks the user `questions` (1) times, one after the other, and says what came back |
//! | `echo` | says `text` |

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::everything::serve::accept;
use crate::everything::serve::http::{Response, connection, plain};

/// The session's header.
const SESSION: &str = "mcp-session-id";

/// How it answers calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// With one JSON text, of which nothing comes before all of it.
    Json,
    /// With events.
    Events,
}

/// A server on a port of its own; it ends when this is dropped.
pub struct HttpServer {
    address: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Listens on a free port of the loopback interface and answers at `/mcp`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(answers: Answers) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Arc::new(Server {
            answers,
            last: AtomicU64::new(0),
            sessions: Mutex::default(),
        });
        let serving = Arc::clone(&server);
        let task = tokio::spawn(accept(listener, move |stream| {
            let server = Arc::clone(&serving);
            connection(stream, move |request| take(Arc::clone(&server), request))
        }));
        Ok(Self {
            address,
            server,
            task,
        })
    }

    /// The URL of the MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        lock(&self.server.sessions).len()
    }

    /// Forgets every session, as if it had been started anew.
    pub fn forget(&self) {
        lock(&self.server.sessions).clear();
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Server {
    answers: Answers,
    last: AtomicU64,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

#[derive(Default)]
struct Session {
    stream: Mutex<Option<mpsc::UnboundedSender<Value>>>,
    /// The answers that are waited for.
    asked: Mutex<HashMap<String, oneshot::Sender<Value>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(server: Arc<Server>, request: http::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let message = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    server.answer(&parts, message).await
}

impl Server {
    async fn answer(self: Arc<Self>, parts: &Parts, message: Value) -> Response {
        let id = parts.headers.get(SESSION).and_then(|id| id.to_str().ok());
        let known = id.and_then(|id| lock(&self.sessions).get(id).cloned());
        match (&parts.method, known, text(&message, "method")) {
            (&Method::POST, None, "initialize") => self.initialize(&message),
            (_, None, _) if id.is_none() => plain(StatusCode::BAD_REQUEST),
            (_, None, _) => plain(StatusCode::NOT_FOUND),
            (&Method::GET, Some(session), _) => {
                let (said, messages) = mpsc::unbounded_channel();
                *lock(&session.stream) = Some(said);
                events(messages)
            }
            (&Method::DELETE, Some(_), _) => {
                lock(&self.sessions).remove(id.unwrap_or_default());
                plain(StatusCode::OK)
            }
            (_, Some(_), "tools/list") => self.whole(&message, &tools()),
            (_, Some(session), "tools/call") if self.answers == Answers::Events => {
                let (said, messages) = mpsc::unbounded_channel();
                let _ = said.send(progress(&message));
                tokio::spawn(async move {
                    let called = self.call(&message, &session).await;
                    let _ = said.send(response(&message, &called));
                });
                events(messages)
            }
            (_, Some(session), "tools/call") => {
                let called = self.call(&message, &session).await;
                self.whole(&message, &called)
            }
            (_, Some(session), _) => {
                if let Some(waiting) = lock(&session.asked).remove(text(&message, "id")) {
                    let _ = waiting.send(message);
                }
                plain(StatusCode::ACCEPTED)
            }
        }
    }

    fn initialize(&self, message: &Value) -> Response {
        let id = format!("apart-{}", self.last.fetch_add(1, Ordering::Relaxed));
        let session = Arc::new(Session::default());
        lock(&self.sessions).insert(id.clone(), session);
        let introduction = json!({
            "protocolVersion": message.pointer("/params/protocolVersion"),
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "apart", "version": "1" },
        });
        let mut response = self.whole(message, &introduction);
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(SESSION, id);
        }
        response
    }

    async fn call(&self, message: &Value, session: &Session) -> Value {
        let arguments = message.pointer("/params/arguments").unwrap_or(&Value::Null);
        if message.pointer("/params/name") == Some(&json!("echo")) {
            return said(text(arguments, "text"), false);
        }
        let mut heard = Vec::new();
        let questions = arguments.get("questions").and_then(Value::as_u64).unwrap_or(1);
        for number in 1..=questions {
            let Some(answer) = self.ask(&format!("Question {number}?"), session).await else {
                return said("nobody listens", true);
            };
            heard.push(answer);
        }
        let heard: Vec<_> = heard
            .iter()
            .map(|answer| {
                answer
                    .get("result")
                    .or(answer.get("error"))
                    .unwrap_or(&Value::Null)
            })
            .map(Value::to_string)
            .collect();
        said(&heard.join(" "), false)
    }

    /// Asks on the session's own stream, and waits for the answer. `None` where nobody listens.
    async fn ask(&self, message: &str, session: &Session) -> Option<Value> {
        let id = format!("q-{}", self.last.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        lock(&session.asked).insert(id.clone(), answer);
        let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } } });
        let params = json!({ "message": message, "requestedSchema": schema });
        let question =
            json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params });
        lock(&session.stream).as_ref()?.send(question).ok()?;
        answered.await.ok()
    }

    /// A response of which nothing is said before.
    fn whole(&self, message: &Value, result: &Value) -> Response {
        let response = response(message, result);
        if self.answers == Answers::Events {
            let (said, messages) = mpsc::unbounded_channel();
            let _ = said.send(response);
            return events(messages);
        }
        let mut answer = http::Response::new(Full::from(response.to_string()).boxed());
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert("content-type", json);
        answer
    }
}

fn response(message: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": message.get("id"), "result": result })
}

/// What is said of a call when it begins, whether or not its client gave a token.
fn progress(message: &Value) -> Value {
    let params = json!({ "progressToken": message.pointer("/params/_meta/progressToken"), "progress": 1 });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
}

fn tools() -> Value {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
    json!({ "tools": [tool("ask_apart"), tool("echo")] })
}

fn said(text: &str, is_error: bool) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A stream of what is said, at the most until nobody can say anything any more.
fn events(messages: mpsc::UnboundedReceiver<Value>) -> Response {
    let frames = futures_util::stream::unfold(messages, |mut messages| async {
        let message = messages.recv().await?;
        let event = Bytes::from(format!("event: message\ndata: {message}\n\n"));
        Some((Ok::<_, Infallible>(Frame::data(event)), messages))
    });
    let mut response = http::Response::new(StreamBody::new(frames).boxed());
    let events = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", events);
    response
}
