//! Servers over WebSocket: the conversation that they share with child processes, and what can break in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sallyport_core::Secret;
use sallyport_core::fault::Retry;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::support::{House, all, eventually, http, legacy, modern, quick, tool_call, with_token};
use super::talker::{Act, Talker, Told};
use crate::exchange::Downstream;
use crate::spec::{ServerSpec, Transport};
use crate::upstream::{ListenFilter, Status};

fn websocket(port: u16) -> ServerSpec {
    ServerSpec {
        transport: Transport::WebSocket {
            url: url::Url::parse(&format!("ws://127.0.0.1:{port}/mcp")).expect("a URL"),
            headers: vec![("X-Api-Key".to_owned(), Secret::from("configured-key"))],
        },
        limits: quick(),
        ..http(1)
    }
}

const TEXT: &str = r#"{"content":[{"type":"text","text":"over ws"}]}"#;

fn legacy_server(on_call: impl Fn(&Told) -> Vec<Act> + Send + Sync + 'static) -> Talker {
    Talker::start(move |told| told.legacy_manners().unwrap_or_else(|| on_call(told)))
}

#[tokio::test]
async fn a_legacy_server_is_introduced_to_on_a_connection_that_knows_nothing_of_the_probe() {
    let talker = legacy_server(|told| vec![told.answer(TEXT)]);
    let house = House::new();
    let upstream = house.with(websocket(talker.port)).await;
    let state = upstream.state();
    assert_eq!(state.status, Status::Ready);
    assert!(state.speaks.legacy && !state.speaks.modern);
    for view in [legacy("a"), modern("{}")] {
        let link = house.link(&upstream, &view).await;
        let answer = house.call(&link, "\"x\\u0031\"", "{}").await.expect("an answer");
        assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":"x\u0031","#) && answer.contains("over ws"));
    }
    let probed = talker.told("server/discover");
    assert_eq!(probed.len(), 1);
    let introduced = talker.told("initialize");
    assert!(
        introduced
            .iter()
            .all(|told| told.connection != probed[0].connection)
    );
    for head in talker.heads() {
        assert_eq!(head["x-api-key"], "configured-key");
        assert!(!head.contains_key("authorization"));
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_modern_server_is_spoken_to_in_its_era_by_clients_of_both() {
    let talker = Talker::start(|told| {
        told.modern_manners()
            .unwrap_or_else(|| vec![told.answer(r#"{"resultType":"complete","content":[]}"#)])
    });
    let house = House::new();
    let upstream = house.with(websocket(talker.port)).await;
    assert!(upstream.state().speaks.modern);
    for view in [legacy("a"), modern("{}")] {
        let link = house.link(&upstream, &view).await;
        assert_eq!(link.era(), sallyport_mcp::Era::Modern);
        assert!(
            house
                .call(&link, "1", "{}")
                .await
                .expect("an answer")
                .contains("complete")
        );
    }
    assert!(talker.told("initialize").is_empty());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_89_silence_and_closing_mean_a_legacy_server() {
    for confused in ["silent", "closing", "cutting"] {
        let talker = Talker::start(move |told| match (told.method(), confused) {
            ("server/discover", "silent") => Vec::new(),
            ("server/discover", "closing") => vec![Act::Close],
            ("server/discover", _) => vec![Act::Cut],
            _ => told.legacy_manners().unwrap_or_else(|| vec![told.answer(TEXT)]),
        });
        let house = House::new();
        let mut spec = websocket(talker.port);
        spec.limits.handshake = Duration::from_millis(500);
        let upstream = house.with(spec).await;
        assert_eq!(upstream.state().status, Status::Ready, "{confused}");
        assert!(upstream.state().speaks.legacy);
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn p_88_a_modern_error_never_leads_to_initialize() {
    let talker = Talker::start(|told| {
        let id = &told.message["id"];
        vec![Act::Say(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32022,"message":"no","data":{{"supported":["2031-01-01"]}}}}}}"#
        ))]
    });
    let house = House::new();
    let upstream = house.with(websocket(talker.port)).await;
    assert!(matches!(upstream.state().status, Status::Failed { .. }));
    assert!(talker.told("initialize").is_empty());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_03_p_64_equal_ids_and_tokens_do_not_meet() {
    let first: Arc<std::sync::Mutex<Option<Told>>> = Arc::default();
    let talker = legacy_server(move |told| {
        let Some(one) = first.lock().expect("no panic").take() else {
            *first.lock().expect("no panic") = Some(told.clone());
            return Vec::new();
        };
        let progress = |told: &Told, n: u8| {
            let token = &told.message["id"];
            Act::Say(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{n}}}}}"#
            ))
        };
        let text = |told: &Told, text: &str| told.answer(&TEXT.replace("over ws", text));
        vec![
            progress(&one, 1),
            progress(told, 2),
            text(told, "second"),
            text(&one, "first"),
        ]
    });
    let house = House::new();
    let upstream = house.with(websocket(talker.port)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let call = || link.call(&house.worker, with_token("1", "\"tok\""));
    let (one, two) = tokio::join!(call(), call());
    let mut seen = Vec::new();
    for reply in [one, two] {
        let (before, answer) = all(reply.expect("an answer")).await.expect("to the end");
        let nth = if answer.contains("first") { 1 } else { 2 };
        assert!(answer.contains(r#""id":1"#), "{answer}");
        assert_eq!(before.len(), 1);
        assert!(
            before[0].contains(&format!(r#""progressToken":"tok","progress":{nth}"#)),
            "{before:?}"
        );
        seen.push(nth);
    }
    assert_ne!(seen[0], seen[1]);
    house.upstreams.shutdown().await;
}

/// Each fault costs the calls that met it and nothing else; none is sent twice.
#[tokio::test]
async fn p_08_a_server_that_hangs_lies_floods_or_dies_costs_its_own_call_only() {
    let talker = legacy_server(|told| {
        let way = told.message["params"]["arguments"]["way"].clone();
        match way.as_str().unwrap_or_default() {
            "close" => vec![Act::Close],
            "cut" => vec![Act::Cut],
            "never answer" => Vec::new(),
            "flood" => vec![Act::Say(format!("{{\"x\":\"{}\"}}", "x".repeat(70 << 10)))],
            "progress, then nothing" => {
                let token = &told.message["id"];
                let note = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
                );
                vec![Act::Say(note), Act::Cut]
            }
            "lie" => vec![
                Act::Say(r#"{"jsonrpc":"2.0","id":999,"result":{}}"#.to_owned()),
                Act::Say("no message".to_owned()),
                Act::Say(
                    r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#.to_owned(),
                ),
                told.answer(TEXT),
                told.answer(TEXT),
            ],
            _ => vec![told.answer(TEXT)],
        }
    });
    let house = House::new();
    let mut spec = websocket(talker.port);
    spec.limits.message_bytes = 64 << 10;
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let ways = [
        "close",
        "cut",
        "never answer",
        "flood",
        "progress, then nothing",
        "lie",
        "nothing",
    ];
    for way in ways {
        let call = tool_call("1", &format!("{{\"way\":\"{way}\"}}"));
        let outcome = match link.call(&house.worker, call).await {
            Ok(reply) => super::support::last(reply).await,
            Err(fault) => Err(fault),
        };
        assert_eq!(
            outcome.is_err(),
            !matches!(way, "lie" | "nothing"),
            "{way}: {outcome:?}"
        );
        if let Err(fault) = outcome {
            assert_eq!(fault.retry, Retry::Never, "{way}: it may have been carried out");
        }
        let after = house.call(&link, "2", "{}").await;
        after.unwrap_or_else(|fault| panic!("after {way}: {fault}"));
    }
    assert_eq!(
        talker.told("tools/call").len(),
        2 * ways.len(),
        "nothing was sent twice"
    );
    assert!(upstream.counters().foreign_messages.get() >= 2);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_61_a_listen_is_sent_again_over_the_next_connection() {
    static CUT: AtomicBool = AtomicBool::new(false);
    let talker = Talker::start(|told| {
        if told.method() == "tools/call" {
            CUT.store(true, Ordering::SeqCst);
            return vec![Act::Cut];
        }
        let mut acts = told.modern_manners().unwrap_or_default();
        if told.method() == "subscriptions/listen" && CUT.load(Ordering::SeqCst) {
            let id = &told.message["id"];
            acts.push(Act::Say(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"uri":"a:1"}}}}"#
            )));
        }
        acts
    });
    let house = House::new();
    let upstream = house.with(websocket(talker.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let filter = ListenFilter {
        uris: vec!["a:1".into()],
        ..ListenFilter::default()
    };
    let ear = Arc::clone(&house.ear) as Arc<dyn Downstream>;
    let listening = link.listen(&house.worker, filter, ear).await.expect("opened");
    assert_eq!(listening.accepted.uris, ["a:1"]);
    house.call(&link, "1", "{}").await.expect_err("it was cut");
    house.ear.hear().await;
    assert!(house.ear.told.lock().expect("no panic")[0].contains("a:1"));
    let listens = talker.told("subscriptions/listen");
    assert!(listens.len() > 1 && listens[0].connection != listens[1].connection);
    drop(listening);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_or_refuses_before_the_conversation_is_out_of_contact() {
    for answer in [
        "",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "no HTTP at all\r\n\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let _written = socket.write_all(answer.as_bytes()).await;
                open.push(socket);
            }
        });
        let house = House::new();
        let mut spec = websocket(port);
        spec.limits.connect = Duration::from_millis(300);
        let upstream = house.with(spec).await;
        assert!(
            matches!(upstream.state().status, Status::Failed { .. }),
            "{answer:?}"
        );
        house.upstreams.shutdown().await;
        server.abort();
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_in_contact_again() {
    static DOWN: AtomicUsize = AtomicUsize::new(2);
    let talker = Talker::start(|told| {
        if told.method() == "server/discover" && DOWN.load(Ordering::SeqCst) > 0 {
            DOWN.fetch_sub(1, Ordering::SeqCst);
            return vec![Act::Cut];
        }
        if DOWN.load(Ordering::SeqCst) > 0 {
            return vec![Act::Cut];
        }
        told.modern_manners().unwrap_or_default()
    });
    let house = House::new();
    let upstream = house.with(websocket(talker.port)).await;
    assert!(matches!(upstream.state().status, Status::Failed { .. }));
    let state = house.state(|state| state.status == Status::Ready).await;
    assert!(state.speaks.modern, "it is asked again once it is back");
    eventually("contact", || upstream.state().status == Status::Ready).await;
    house.upstreams.shutdown().await;
}
