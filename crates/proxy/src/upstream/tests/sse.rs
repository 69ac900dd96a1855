//! Servers of 2024-11-05: a stream, and a URL to post to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::fake::{Back, Fake, STREAM, Seen, result, status};
use super::support::{House, eventually, http, legacy, modern, quick, tool_call};
use crate::spec::{HttpForm, ServerSpec, Transport};
use crate::upstream::Status;

/// A server with sessions, numbered in turn; `on_call` says what becomes of a `tools/call`.
#[derive(Clone, Default)]
struct Server {
    streams: Arc<Mutex<Vec<Option<mpsc::Sender<String>>>>>,
}

/// The number of the session that a message was posted to.
fn session(seen: &Seen) -> Option<usize> {
    let rest = seen.head.strip_prefix("POST /messages?session_id=")?;
    rest.split(' ').next()?.parse().ok()
}

impl Server {
    /// Opens a stream that begins with where to post.
    fn open(&self) -> Back {
        let mut streams = self.streams.lock().expect("no panic");
        let (back, sender) = stream(&format!("/messages?session_id={}", streams.len()));
        streams.push(Some(sender));
        back
    }

    /// Says something in the session to which a message was posted.
    fn say(&self, to: &Seen, message: &str) {
        let streams = self.streams.lock().expect("no panic");
        if let Some(Some(stream)) = session(to).and_then(|nth| streams.get(nth)) {
            stream
                .try_send(format!("event: message\ndata: {message}\n\n"))
                .expect("room");
        }
    }

    fn hang_up(&self, on: &Seen) {
        let nth = session(on).expect("a session");
        self.streams.lock().expect("no panic")[nth] = None;
    }

    /// What it does besides calls.
    fn manners(&self, seen: &Seen) -> Option<Back> {
        if seen.head.starts_with("GET /mcp") {
            return Some(self.open());
        }
        if session(seen).is_none() {
            return Some(status("405 Method Not Allowed"));
        }
        match seen.method().as_str() {
            "initialize" => self.say(seen, &result(
                seen,
                r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#,
            )),
            "tools/list" => self.say(seen, &result(
                seen,
                r#"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
            )),
            "tools/call" => return None,
            _ => {}
        }
        Some(status("202 Accepted"))
    }

    async fn start(on_call: impl Fn(&Self, &Seen) -> Back + Send + Sync + 'static) -> (Self, Fake) {
        let server = Self::default();
        let own = server.clone();
        let fake = Fake::start(move |seen| own.manners(&seen).unwrap_or_else(|| on_call(&own, &seen))).await;
        (server, fake)
    }
}

/// A stream that says where to post.
fn stream(endpoint: &str) -> (Back, mpsc::Sender<String>) {
    let (sender, pieces) = mpsc::channel(64);
    let first = format!("{STREAM}event: endpoint\ndata: {endpoint}\n\n");
    sender.try_send(first).expect("room");
    (Back::Pieces(pieces), sender)
}

fn answered(server: &Server, seen: &Seen) -> Back {
    server.say(
        seen,
        &result(seen, r#"{"content":[{"type":"text","text":"over sse"}]}"#),
    );
    status("202 Accepted")
}

fn fixed(port: u16) -> ServerSpec {
    let mut spec = http(port);
    if let Transport::Http { form, .. } = &mut spec.transport {
        *form = HttpForm::Sse;
    }
    spec.limits = quick();
    spec
}

#[tokio::test]
async fn p_88_a_server_of_the_first_revision_is_found_and_called() {
    let (_server, fake) = Server::start(answered).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let state = upstream.state();
    assert_eq!(state.status, Status::Ready);
    assert!(state.speaks.legacy && !state.speaks.modern);
    assert_eq!(state.catalogue.tools.len(), 1);
    let order: Vec<_> = fake
        .seen()
        .iter()
        .take(4)
        .map(|seen| (seen.head[..4].to_owned(), seen.method()))
        .collect();
    let step = |verb: &str, method: &str| (verb.to_owned(), method.to_owned());
    assert_eq!(
        order,
        [
            step("POST", "server/discover"),
            step("POST", "initialize"),
            step("GET ", ""),
            step("POST", "initialize")
        ]
    );
    for view in [legacy("a"), modern("{}")] {
        let link = house.link(&upstream, &view).await;
        let answer = house.call(&link, "\"x\\u0031\"", "{}").await.expect("an answer");
        assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":"x\u0031","#) && answer.contains("over sse"));
    }
    // What was found is not asked again, and the configured headers go with every request.
    assert_eq!(fake.calls("server/discover").len(), 1);
    for seen in fake.seen() {
        assert_eq!(seen.header("x-api-key"), Some("configured-key"));
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_configured_transport_is_not_asked_for() {
    let (_server, fake) = Server::start(answered).await;
    let house = House::new();
    let upstream = house.with(fixed(fake.port)).await;
    assert_eq!(upstream.state().status, Status::Ready);
    assert!(fake.calls("server/discover").is_empty());
    assert!(fake.seen()[0].head.starts_with("GET /mcp"));
    house.upstreams.shutdown().await;

    let (_server, fake) = Server::start(answered).await;
    let mut spec = http(fake.port);
    if let Transport::Http { form, .. } = &mut spec.transport {
        *form = HttpForm::Streamable;
    }
    let house = House::new();
    let upstream = house.with(spec).await;
    assert!(matches!(upstream.state().status, Status::Failed { .. }));
    assert!(fake.seen().iter().all(|seen| seen.head.starts_with("POST")));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_94_nothing_is_posted_to_another_origin() {
    let elsewhere = Fake::start(|_| status("202 Accepted")).await;
    let to = format!("http://127.0.0.1:{}/messages", elsewhere.port);
    let fake = Fake::start(move |_| stream(&to).0).await;
    let house = House::new();
    let upstream = house.with(fixed(fake.port)).await;
    let Status::Failed { reason } = &upstream.state().status else {
        panic!("it cannot be used")
    };
    assert!(
        reason.contains("origin") && !reason.contains("messages"),
        "{reason}"
    );
    assert!(elsewhere.seen().is_empty());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_session_ends_with_its_stream_and_no_call_is_repeated() {
    let (server, fake) = Server::start(|server, seen| {
        if seen.body.contains("vanish") {
            server.hang_up(seen);
            return status("202 Accepted");
        }
        answered(server, seen)
    })
    .await;
    let house = House::new();
    let upstream = house.with(fixed(fake.port)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let fault = house
        .call(&link, "1", r#"{"vanish":1}"#)
        .await
        .expect_err("it broke off");
    assert_eq!(fault.retry, sallyport_core::fault::Retry::Never);
    assert_eq!(fake.calls("tools/call").len(), 1, "it may have been carried out");
    house.call(&link, "2", "{}").await.expect("a new stream");
    assert_eq!(fake.calls("tools/call").len(), 2);
    drop(server);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_90_a_forgotten_session_is_opened_anew_and_the_refused_call_sent_once_more() {
    static FORGOTTEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let (_server, fake) = Server::start(|server, seen| {
        let nth = FORGOTTEN.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if nth == 0 {
            status("404 Not Found")
        } else {
            answered(server, seen)
        }
    })
    .await;
    let house = House::new();
    let upstream = house.with(fixed(fake.port)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let answer = house.call(&link, "1", "{}").await.expect("the second session");
    assert!(answer.contains("over sse"));
    assert_eq!(fake.calls("tools/call").len(), 2);
    house.upstreams.shutdown().await;
}

/// Each fault costs the call that met it and nothing else.
#[tokio::test]
async fn p_08_a_server_that_hangs_lies_or_floods_costs_its_own_call_only() {
    let (_server, fake) = Server::start(|server, seen| {
        let way = seen.json()["params"]["arguments"]["way"].clone();
        match way.as_str().unwrap_or_default() {
            "refuse" => return status("400 Bad Request"),
            "break" => return status("500 Oops"),
            "hang the post" => return Back::Stall(String::new()),
            "never answer" => {}
            "flood" => server.say(seen, &format!("{{\"x\":\"{}\"}}", "x".repeat(70 << 10))),
            "lie" => {
                server.say(seen, r#"{"jsonrpc":"2.0","id":999,"result":{}}"#);
                server.say(seen, "no message");
                server.say(seen, r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#);
                server.say(seen, r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#);
                return answered(server, seen);
            }
            _ => return answered(server, seen),
        }
        status("202 Accepted")
    })
    .await;
    let house = House::new();
    let mut spec = fixed(fake.port);
    spec.limits.message_bytes = 64 << 10;
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &modern("{}")).await;
    for (way, fails) in [
        ("refuse", true),
        ("break", true),
        ("hang the post", true),
        ("never answer", true),
        ("flood", true),
        ("lie", false),
        ("nothing", false),
    ] {
        let arguments = format!("{{\"way\":\"{way}\"}}");
        let outcome = house.call(&link, "1", &arguments).await;
        assert_eq!(outcome.is_err(), fails, "{way}: {outcome:?}");
        house
            .call(&link, "2", "{}")
            .await
            .unwrap_or_else(|fault| panic!("after {way}: {fault}"));
    }
    let sent: Vec<Value> = fake.calls("tools/call").iter().map(Seen::json).collect();
    assert_eq!(sent.len(), 14, "nothing was sent twice");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_never_says_where_to_post_is_given_up() {
    for first in [
        STREAM.to_owned(),
        format!("{STREAM}event: message\ndata: {{}}\n\n"),
        String::new(),
    ] {
        let fake = Fake::start(move |_| Back::Stall(first.clone())).await;
        let house = House::new();
        let mut spec = fixed(fake.port);
        spec.limits.handshake = Duration::from_millis(200);
        let upstream = house.with(spec).await;
        assert!(matches!(upstream.state().status, Status::Failed { .. }));
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn p_65_a_dropped_call_is_cancelled_with_the_servers_id() {
    let (_server, fake) = Server::start(|_, _| status("202 Accepted")).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let mut call = Box::pin(link.call(&house.worker, tool_call("\"mine\"", "{}")));
    tokio::select! {
        _ = &mut call => panic!("nobody answers"),
        () = eventually("the call", || fake.calls("tools/call").len() == 1) => {}
    }
    drop(call);
    eventually("the cancellation", || {
        !fake.calls("notifications/cancelled").is_empty()
    })
    .await;
    let cancelled = fake.calls("notifications/cancelled")[0].json();
    assert_eq!(
        cancelled["params"]["requestId"],
        fake.calls("tools/call")[0].json()["id"]
    );
    house.upstreams.shutdown().await;
}
