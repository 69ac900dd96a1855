//! Results that are passed on while they come, and servers that abuse it.

use std::sync::Mutex;

use bytes::Bytes;
use sallyport_core::audit::Outcome;
use tokio::sync::mpsc;

use super::fake::{self, Fake, Goes};
use super::*;
use crate::sync::lock;

/// A gateway before a server of one era that answers `big` with the parts that the test sends, under the id of the call
/// where they hold `ID`.
struct Scene {
    gate: Gate,
    session: Option<String>,
    parts: Arc<Mutex<Option<Goes>>>,
}

impl Scene {
    async fn new(is_modern: bool, message_bytes: usize) -> Self {
        let parts: Arc<Mutex<Option<Goes>>> = Arc::default();
        let next = Arc::clone(&parts);
        let server = Fake::start(move |came| {
            let manners = if is_modern { fake::modern } else { fake::legacy };
            manners(came, &["big"]).unwrap_or_else(|| lock(&next).take().unwrap_or(Goes::Nothing))
        })
        .await;
        let mut spec = http("fake", server.at, Protocol::Auto);
        spec.limits.message_bytes = message_bytes;
        let gate = Gate::new(config(vec![spec], vec![profile("default", &["fake"])]));
        let session = match is_modern {
            true => None,
            false => Some(gate.session("alice", json!({})).await),
        };
        Self { gate, session, parts }
    }

    fn ask(&self) -> Ask {
        let params = json!({"name": "big", "arguments": {}});
        match &self.session {
            Some(session) => Ask::legacy("alice", Some(session), "tools/call", params),
            None => Ask::modern("alice", "tools/call", params),
        }
    }

    /// What a response begins with, and how long it is with `}}` behind it.
    fn begin(&self, length: usize) -> String {
        let (id, first) = match self.session {
            Some(_) => ("1", ""),
            None => ("\"m1\"", r#""resultType":"complete","#),
        };
        let head =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{first}"content":[{{"type":"text","text":""#);
        let tail = r#""}]"#;
        format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len() - 2))
    }

    /// Calls; the server says these parts, and the end of its body too if it `ends`.
    async fn call(&self, parts: &[&[u8]], ends: bool) -> Answer {
        let (say, said) = mpsc::unbounded_channel();
        for part in parts {
            say.send(part.to_vec()).expect("a listener");
        }
        *lock(&self.parts) = Some(Goes::Parts { parts: said, ends });
        drop(say);
        self.gate.send(self.ask()).await
    }

    fn last_outcome(&self) -> Option<Outcome> {
        self.gate.trail.outcomes().last().copied()
    }
}

/// All that a body says, and whether it was broken off.
async fn heard(mut answer: Answer) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    while let Some(frame) = answer.body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new())),
            Err(_) => return (all, true),
        }
    }
    (all, false)
}

const LONG: usize = 200_000;

#[tokio::test]
async fn a_long_result_is_heard_before_its_server_has_said_all() {
    for is_modern in [false, true] {
        let scene = Scene::new(is_modern, 4 << 20).await;
        let (say, parts) = mpsc::unbounded_channel();
        *lock(&scene.parts) = Some(Goes::Parts { parts, ends: true });
        let begin = scene.begin(LONG);
        say.send(begin.clone().into_bytes()).expect("a listener");
        let mut answer = scene.gate.send(scene.ask()).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json"))
        );
        let mut all = Vec::new();
        while all.len() < begin.len() {
            let frame = answer.body.frame().await.expect("more").expect("no break");
            all.extend_from_slice(&frame.into_data().expect("data"));
        }
        assert_eq!(scene.last_outcome(), Some(Outcome::Started), "it is not over yet");
        say.send(b"} ".to_vec()).expect("a listener");
        say.send(b" } \n".to_vec()).expect("a listener");
        drop(say);
        let (rest, broken) = heard(answer).await;
        assert!(!broken);
        all.extend(rest);
        assert_eq!(String::from_utf8(all).expect("text"), format!("{begin}}}  }}"));
        assert_eq!(scene.last_outcome(), Some(Outcome::Ok));
    }
}

#[tokio::test]
async fn cr_14_a_long_result_that_is_no_message_lacks_its_end() {
    let deep = [
        b",\"a\":".to_vec(),
        vec![b'['; 130],
        vec![b']'; 130],
        b"}}".to_vec(),
    ]
    .concat();
    for is_modern in [false, true] {
        let scene = Scene::new(is_modern, 4 << 20).await;
        let begin = scene.begin(LONG).into_bytes();
        let tails: [&[u8]; 14] = [
            b"",
            b"}",
            b"},\"id\":2}",
            b"},\"other\":2}",
            b"},\"result\":{}}",
            b"}}x",
            b"}}{}",
            b"}}{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
            b"}]",
            b",\"a\":01}}",
            b",\"a\":\"\x01\"}}",
            b",\"a\":\"\xff\"}}",
            b",\"a\"}}",
            &deep,
        ];
        for tail in tails {
            for split in [0, tail.len() / 2] {
                let (one, two) = tail.split_at(split);
                let (heard, broken) = heard(scene.call(&[&begin, one, two], true).await).await;
                let tail = String::from_utf8_lossy(tail);
                assert!(broken, "{tail}");
                assert!(serde_json::from_slice::<Value>(&heard).is_err(), "{tail}");
                assert_eq!(scene.last_outcome(), Some(Outcome::Failed), "{tail}");
            }
        }
        // Complete, but for the end of the body: the server died.
        let (heard_so_far, broken) = heard(scene.call(&[&begin, b"}}"], false).await).await;
        assert!(broken && serde_json::from_slice::<Value>(&heard_so_far).is_err());
        // And the next one is as good as ever.
        let (all, broken) = heard(scene.call(&[&begin, b"}}"], true).await).await;
        assert!(!broken && serde_json::from_slice::<Value>(&all).is_ok());
    }
}

#[tokio::test]
async fn ss_03_a_long_result_at_the_limit_and_one_past_it() {
    let scene = Scene::new(false, LONG).await;
    for (length, is_whole) in [(LONG, true), (LONG + 1, false)] {
        let begin = scene.begin(length).into_bytes();
        let (head, more) = begin.split_at(100_000);
        let (all, broken) = heard(scene.call(&[head, more, b"}}"], true).await).await;
        assert_eq!(!broken, is_whole);
        assert_eq!(serde_json::from_slice::<Value>(&all).is_ok(), is_whole);
    }
}

#[tokio::test]
async fn what_cannot_be_passed_on_unread_is_waited_for() {
    for is_modern in [false, true] {
        let scene = Scene::new(is_modern, 4 << 20).await;
        let text = "x".repeat(LONG);
        let id = if is_modern { "\"m1\"" } else { "1" };
        let late_type = if is_modern {
            r#","resultType":"complete""#
        } else {
            ""
        };
        let result = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]{late_type}}}"#);
        for (message, is_answer) in [
            (
                format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#),
                true,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0", "id":{id},"result":{result}}}"#),
                true,
            ),
            (format!(r#"{{"jsonrpc":"2.0","id":99,"result":{result}}}"#), false),
            (
                format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id},"id":99}}"#),
                false,
            ),
        ] {
            let answer = scene.call(&[message.as_bytes()], true).await;
            let value = answer.json().await;
            assert_eq!(value["result"].is_object(), is_answer, "{}", &message[..40]);
            assert_eq!(value["error"].is_object(), !is_answer);
        }
        // A client that takes events only gets the message as one.
        let begin = scene.begin(LONG);
        let (say, parts) = mpsc::unbounded_channel();
        say.send(format!("{begin}}}}}").into_bytes()).expect("a listener");
        drop(say);
        *lock(&scene.parts) = Some(Goes::Parts { parts, ends: true });
        let ask = scene.ask().with("accept", "text/event-stream");
        let answer = scene.gate.send(ask).await;
        if answer.is_events() {
            let last = answer.last().await;
            assert!(
                last["result"]["content"][0]["text"]
                    .as_str()
                    .is_some_and(|text| text.len() > LONG / 2)
            );
        } else {
            assert_eq!(answer.status, 406);
        }
    }
}
