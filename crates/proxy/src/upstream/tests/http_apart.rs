//! Questions that a legacy server puts on the session's own stream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use sallyport_mcp::log::LogLevel;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fake::{Back, Fake, STREAM, Seen, TEXT, legacy_manners, result, status};
use super::support::{House, eventually, http, last, legacy, modern, tool_call, with_token};
use crate::exchange::{Answered, Message, Question, Reply};
use crate::upstream::Link;

const ASKS: &str = r#"{"elicitation":{}}"#;
const YES: &str = r#"{"action":"accept","content":{"ok":true}}"#;

/// A call that the server has got: what it was, and where the answer is written.
#[derive(Clone)]
struct Got {
    seen: Seen,
    answer: mpsc::Sender<String>,
}

impl Got {
    fn session(&self) -> String {
        self.seen.header("mcp-session-id").unwrap_or_default().to_owned()
    }

    async fn say(&self, text: String) {
        self.answer.send(text).await.expect("somebody reads");
    }

    /// Answers with JSON, all of it at the end.
    async fn end(&self) {
        let body = result(&self.seen, TEXT);
        let length = body.len();
        self.say(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }
}

#[derive(Default)]
struct State {
    sessions: AtomicUsize,
    /// Each session's own stream.
    streams: Mutex<BTreeMap<String, mpsc::Sender<String>>>,
    calls: Mutex<Vec<Got>>,
    /// Whether it has such streams.
    has_none: AtomicBool,
    /// Whether it has just forgotten its sessions.
    forgets: AtomicBool,
}

/// A server whose every word is a test's.
struct Server {
    fake: Fake,
    state: Arc<State>,
}

impl Server {
    async fn start() -> Self {
        let state = Arc::new(State::default());
        let of_fake = Arc::clone(&state);
        let fake = Fake::start(move |seen| of_fake.back(&seen)).await;
        Self { fake, state }
    }

    /// The `n`th call, from 0.
    async fn call(&self, n: usize) -> Got {
        let calls = || self.state.calls.lock().expect("no panic").get(n).cloned();
        eventually("a call", || calls().is_some()).await;
        calls().expect("it came")
    }

    /// Says something on the session's own stream.
    async fn say(&self, session: &str, message: String) {
        let stream = self.state.streams.lock().expect("no panic")[session].clone();
        stream.send(format!("data: {message}\n\n")).await.expect("open");
    }

    /// Asks there.
    async fn ask(&self, session: &str, id: u32) {
        let params = r#"{"message":"?"}"#;
        let question =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{params}}}"#);
        self.say(session, question).await;
    }

    /// Logs there.
    async fn log(&self, session: &str, level: &str) {
        let params = format!(r#"{{"level":"{level}","data":"x"}}"#);
        let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{params}}}"#);
        self.say(session, message).await;
    }

    /// Tells of progress there.
    async fn progress(&self, session: &str, token: &str) {
        let params = format!(r#"{{"progressToken":{token},"progress":1}}"#);
        let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
        self.say(session, message).await;
    }

    /// Waits for the answer to a question: a raw result or error.
    async fn answered(&self, id: u32) -> serde_json::Value {
        let found = || {
            let seen = self.fake.seen();
            let mut answers = seen.iter().map(Seen::json);
            answers.find(|json| json["id"] == id && json.get("method").is_none())
        };
        eventually("an answer", || found().is_some()).await;
        found().expect("it came")
    }

    /// How many sessions were opened, besides the gateway's own.
    fn sessions(&self) -> usize {
        self.state.sessions.load(Ordering::SeqCst) - 1
    }
}

impl State {
    fn back(&self, seen: &Seen) -> Back {
        let session = seen.header("mcp-session-id").unwrap_or_default().to_owned();
        if seen.head.starts_with("GET") && !self.has_none.load(Ordering::SeqCst) {
            let (sender, pieces) = mpsc::channel(8);
            sender.try_send(STREAM.to_owned()).expect("room");
            self.streams.lock().expect("no panic").insert(session, sender);
            return Back::Pieces(pieces);
        }
        match seen.method().as_str() {
            "initialize" => {
                let number = self.sessions.fetch_add(1, Ordering::SeqCst);
                let body = result(
                    seen,
                    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}"#,
                );
                let length = body.len();
                Back::Send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s{number}\r\nContent-Length: {length}\r\n\r\n{body}"
                ))
            }
            "tools/call" if self.forgets.swap(false, Ordering::SeqCst) => status("404 Not Found"),
            "tools/call" => {
                let (answer, pieces) = mpsc::channel(8);
                let seen = seen.clone();
                self.calls.lock().expect("no panic").push(Got { seen, answer });
                Back::Pieces(pieces)
            }
            _ => legacy_manners(seen).unwrap_or_else(|| status("202 Accepted")),
        }
    }
}

/// A call on its way.
fn begin(house: &House, link: &Arc<Link>, id: &'static str) -> tokio::task::JoinHandle<Reply> {
    let (link, worker) = (Arc::clone(link), Arc::clone(&house.worker));
    tokio::spawn(async move { link.call(&worker, with_token(id, id)).await.expect("a reply") })
}

/// The same, of a client that wants to be told from this level on.
fn begin_logged(
    house: &House,
    link: &Arc<Link>,
    id: &'static str,
    level: LogLevel,
) -> tokio::task::JoinHandle<Reply> {
    let (link, worker) = (Arc::clone(link), Arc::clone(&house.worker));
    let mut call = with_token(id, id);
    call.log_level = Some(level);
    tokio::spawn(async move { link.call(&worker, call).await.expect("a reply") })
}

type Messages =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Message, sallyport_core::fault::Fault>> + Send>>;

async fn messages(call: tokio::task::JoinHandle<Reply>) -> Messages {
    match timeout(Duration::from_secs(30), call)
        .await
        .expect("in time")
        .expect("no panic")
    {
        Reply::Stream(messages) => messages,
        Reply::Whole(_) | Reply::Long(_) => panic!("something comes before the answer"),
    }
}

async fn next(messages: &mut Messages) -> Message {
    let next = timeout(Duration::from_secs(30), messages.next())
        .await
        .expect("in time");
    next.expect("more").expect("no fault")
}

async fn question(messages: &mut Messages) -> Question {
    match next(messages).await {
        Message::Question(question) => question,
        other => panic!("{other:?}"),
    }
}

async fn terminal(messages: &mut Messages) -> String {
    match next(messages).await {
        Message::Terminal(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn p_97_a_question_may_come_apart_before_the_answer_has_begun() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    server.ask(&got.session(), 5).await;
    let mut call = messages(call).await;
    let asked = question(&mut call).await;
    assert_eq!(&*asked.method, "elicitation/create");
    asked
        .answer
        .send(Answered::Result(YES.into()))
        .expect("waited for");
    assert_eq!(server.answered(5).await["result"]["action"], "accept");
    got.end().await;
    let answer = terminal(&mut call).await;
    assert!(answer.contains(r#""id":7,"#) && answer.contains("hi"), "{answer}");
    assert!(call.next().await.is_none());
    assert!(server.fake.calls("notifications/cancelled").is_empty());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_97_questions_apart_come_between_the_messages_of_the_answer() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    let progress = |value: u32| {
        format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":7,\"progress\":{value}}}}}\n\n"
        )
    };
    got.say(format!("{STREAM}{}", progress(1))).await;
    let mut call = messages(call).await;
    assert!(matches!(next(&mut call).await, Message::Progress(_)));
    for id in [5, 6] {
        server.ask(&got.session(), id).await;
        let asked = question(&mut call).await;
        asked
            .answer
            .send(Answered::Result(YES.into()))
            .expect("waited for");
        assert_eq!(server.answered(id).await["result"]["action"], "accept");
        got.say(progress(id)).await;
        assert!(matches!(next(&mut call).await, Message::Progress(_)));
    }
    got.say(format!("data: {}\n\n", result(&got.seen, TEXT))).await;
    assert!(terminal(&mut call).await.contains("hi"));
    assert!(call.next().await.is_none());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_64_progress_and_logs_that_come_apart_reach_their_call_and_no_other() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let mut one = begin_logged(&house, &link, "1", LogLevel::Warning);
    let first = server.call(0).await;
    let session = first.session();
    server.log(&session, "info").await;
    server.progress(&session, "2").await;
    server.log(&session, "error").await;
    server.progress(&session, "1").await;
    let mut call = messages(one).await;
    let Message::Notification(log) = next(&mut call).await else {
        panic!("the log message that is grave enough, and not another call's progress");
    };
    assert!(log.windows(5).any(|text| text == b"error"));
    assert!(matches!(next(&mut call).await, Message::Progress(_)));
    first.end().await;
    terminal(&mut call).await;
    // Of two calls nobody knows which one a log message is about; progress says it.
    one = begin_logged(&house, &link, "1", LogLevel::Debug);
    let other = begin_logged(&house, &link, "2", LogLevel::Debug);
    let both = [server.call(1).await, server.call(2).await];
    assert_eq!(both[0].session(), session);
    let other_is = usize::from(both[1].seen.json()["id"] == 2);
    server.log(&session, "error").await;
    server.progress(&session, "2").await;
    let mut told = messages(other).await;
    assert!(matches!(next(&mut told).await, Message::Progress(_)));
    both[other_is].end().await;
    terminal(&mut told).await;
    both[1 - other_is].end().await;
    assert!(
        matches!(one.await.expect("no panic"), Reply::Whole(_)),
        "it was told nothing"
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_97_a_question_apart_is_never_put_to_the_wrong_call() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    assert_eq!(link.lanes(), None, "nothing is known of it yet");
    let calls = [begin(&house, &link, "1"), begin(&house, &link, "2")];
    let both = [server.call(0).await, server.call(1).await];
    assert_eq!(both[0].session(), both[1].session(), "calls share a session");
    server.ask(&both[0].session(), 5).await;
    assert_eq!(server.answered(5).await["error"]["code"], -32602);
    for (got, call) in both.iter().zip(calls) {
        got.end().await;
        let reply = call.await.expect("no panic");
        assert!(matches!(reply, Reply::Whole(_)), "neither was asked");
    }
    // From now on each has a session to itself.
    assert_eq!(link.lanes(), Some(4));
    for round in 1..3 {
        let calls = [begin(&house, &link, "1"), begin(&house, &link, "2")];
        let both = [server.call(2 * round).await, server.call(2 * round + 1).await];
        assert_ne!(both[0].session(), both[1].session());
        for (got, call) in both.iter().zip(calls) {
            let id: u32 = got.seen.id().parse().expect("a number");
            server
                .ask(&got.session(), 100 * u32::try_from(round).expect("few") + id)
                .await;
            let call = &mut messages(call).await;
            let asked = question(call).await;
            asked
                .answer
                .send(Answered::Result(YES.into()))
                .expect("waited for");
            got.end().await;
            let answer = terminal(call).await;
            assert!(answer.contains(&format!("\"id\":{id},")), "{answer}");
        }
    }
    assert_eq!(server.sessions(), 2, "the shared one and another, used again");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_97_calls_after_one_another_stay_in_one_session_however_the_server_asks() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    for n in 0..3 {
        let call = begin(&house, &link, "7");
        let got = server.call(n).await;
        server.ask(&got.session(), 5).await;
        let mut call = messages(call).await;
        drop(question(&mut call).await);
        got.end().await;
        terminal(&mut call).await;
    }
    assert_eq!((link.lanes(), server.sessions()), (Some(4), 1));
    // One that waits keeps it to itself.
    let waits = begin(&house, &link, "8");
    let first = server.call(3).await;
    server.ask(&first.session(), 6).await;
    let mut waits = messages(waits).await;
    let asked = question(&mut waits).await;
    let call = begin(&house, &link, "9");
    let second = server.call(4).await;
    assert_ne!(first.session(), second.session());
    second.end().await;
    assert!(matches!(call.await.expect("no panic"), Reply::Whole(_)));
    asked
        .answer
        .send(Answered::Result(YES.into()))
        .expect("waited for");
    first.end().await;
    assert!(terminal(&mut waits).await.contains("\"id\":8,"));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_97_a_call_that_is_given_up_while_it_is_asked_about_is_cancelled() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    server.ask(&got.session(), 5).await;
    let mut call = messages(call).await;
    let asked = question(&mut call).await;
    drop((call, asked));
    assert_eq!(server.answered(5).await["result"]["action"], "cancel");
    let cancelled = || server.fake.calls("notifications/cancelled");
    eventually("the cancellation", || cancelled().len() == 1).await;
    assert_eq!(
        cancelled()[0].json()["params"]["requestId"].to_string(),
        got.seen.id()
    );
    // It is not there any more: a further question is about no call.
    server.ask(&got.session(), 6).await;
    assert_eq!(server.answered(6).await["error"]["code"], -32602);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_question_apart_that_nobody_answers_is_answered_and_its_call_goes_on() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    server.ask(&got.session(), 5).await;
    let mut call = messages(call).await;
    drop(question(&mut call).await);
    assert_eq!(server.answered(5).await["result"]["action"], "cancel");
    got.end().await;
    assert!(terminal(&mut call).await.contains("hi"));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_97_who_thinks_about_a_question_apart_is_waited_for() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    server.ask(&got.session(), 5).await;
    let mut call = messages(call).await;
    let asked = question(&mut call).await;
    tokio::time::pause();
    let is_silent = timeout(Duration::from_secs(200), call.next()).await;
    tokio::time::resume();
    assert!(
        is_silent.is_err(),
        "longer than a server may be silent: {is_silent:?}"
    );
    asked
        .answer
        .send(Answered::Result(YES.into()))
        .expect("waited for");
    assert_eq!(server.answered(5).await["result"]["action"], "accept");
    got.end().await;
    assert!(terminal(&mut call).await.contains("hi"));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_server_without_a_stream_of_its_own_is_called_all_the_same() {
    let server = Server::start().await;
    server.state.has_none.store(true, Ordering::SeqCst);
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    let call = begin(&house, &link, "7");
    server.call(0).await.end().await;
    assert!(
        last(call.await.expect("no panic"))
            .await
            .expect("an answer")
            .contains("hi")
    );
    // Whoever cannot be asked needs no stream.
    let link = house.link(&upstream, &modern("{}")).await;
    let call = begin(&house, &link, "8");
    let got = server.call(1).await;
    got.end().await;
    last(call.await.expect("no panic")).await.expect("an answer");
    let seen = server.fake.seen();
    let streams = seen.iter().filter(|seen| seen.head.starts_with("GET"));
    assert!(
        !streams
            .map(|seen| seen.header("mcp-session-id"))
            .any(|session| session == Some(&*got.session()))
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_90_the_stream_for_questions_is_opened_with_the_session_that_follows_a_lost_one() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(ASKS)).await;
    server.state.forgets.store(true, Ordering::SeqCst);
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    assert_eq!(server.sessions(), 2);
    assert_eq!(upstream.counters().sessions_renewed.get(), 1);
    server.ask(&got.session(), 5).await;
    let mut call = messages(call).await;
    question(&mut call)
        .await
        .answer
        .send(Answered::Result(YES.into()))
        .expect("waited for");
    got.end().await;
    assert!(terminal(&mut call).await.contains("hi"));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_84_a_session_is_asked_apart_where_its_client_listens_else_on_its_call() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &legacy("one")).await;
    let call = begin(&house, &link, "7");
    let got = server.call(0).await;
    // It has no stream open.
    server.ask(&got.session(), 5).await;
    let mut call = messages(call).await;
    question(&mut call)
        .await
        .answer
        .send(Answered::Result(YES.into()))
        .expect("waited for");
    assert_eq!(server.answered(5).await["result"]["action"], "accept");
    // Now it has.
    house.ear.hears.store(true, Ordering::Relaxed);
    server.ask(&got.session(), 6).await;
    house.ear.hear().await;
    let asked = house.ear.asked.lock().expect("no panic").remove(0);
    asked
        .answer
        .send(Answered::Result(YES.into()))
        .expect("waited for");
    assert_eq!(server.answered(6).await["result"]["action"], "accept");
    got.end().await;
    assert!(terminal(&mut call).await.contains("hi"));
    // Its calls go on sharing the one session.
    assert_eq!((link.lanes(), server.sessions()), (None, 1));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn what_the_client_did_not_declare_is_not_asked_apart_either() {
    let server = Server::start().await;
    let house = House::new();
    let upstream = house.with(http(server.fake.port)).await;
    let link = house.link(&upstream, &modern(r#"{"roots":{}}"#)).await;
    let (worker, caller) = (Arc::clone(&house.worker), Arc::clone(&link));
    let call = tokio::spawn(async move { caller.call(&worker, tool_call("7", "{}")).await });
    let got = server.call(0).await;
    server.ask(&got.session(), 5).await;
    assert_eq!(server.answered(5).await["error"]["code"], -32601);
    got.end().await;
    assert!(matches!(call.await.expect("no panic"), Ok(Reply::Whole(_))));
    assert_eq!(link.lanes(), None, "it says nothing of how the server asks");
    house.upstreams.shutdown().await;
}
