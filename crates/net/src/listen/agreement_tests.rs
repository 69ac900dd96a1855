//! The guard and hyper must agree on where each request ends, or one of them could be led astray.

use std::sync::Mutex;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_util::sync::CancellationToken;

use super::connection::{Shared, serve};
use super::*;
use crate::respond;

/// Notes the path and body of every request.
#[derive(Default)]
struct Notes(Mutex<Vec<(String, String)>>);

impl Service for Notes {
    async fn call(&self, _: &Arc<Worker>, inbound: Inbound) -> Response {
        let path = inbound.parts.uri.path().to_owned();
        match inbound.body.collect(1 << 20).await {
            Ok(body) => {
                self.0
                    .lock()
                    .unwrap()
                    .push((path, String::from_utf8_lossy(&body).into_owned()));
                respond::empty(http::StatusCode::NO_CONTENT)
            }
            Err(error) => respond::bad_body(error),
        }
    }
}

/// What the service sees of these bytes.
fn seen(bytes: &[u8], cuts: &[usize]) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = duplex(1 << 20);
        let notes = Arc::new(Notes::default());
        let peer = "192.0.2.1:1".parse().unwrap();
        let shared = Arc::new(Shared {
            service: Arc::clone(&notes),
            worker: Worker::new(0),
            options: Arc::new(ListenOptions::new(peer)),
            draining: CancellationToken::new(),
        });
        let server = tokio::spawn(serve(shared, theirs, peer));
        let mut rest = bytes;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            // The server hangs up where it has seen enough.
            let _ = ours.write_all(now).await;
            tokio::task::yield_now().await;
            rest = later;
        }
        let _ = ours.shutdown().await;
        let _ = ours.read_to_end(&mut Vec::new()).await;
        server.await.unwrap();
        let notes = notes.0.lock().unwrap();
        notes.clone()
    })
}

/// A body, and how it is framed on the wire.
fn body() -> impl Strategy<Value = (String, String)> {
    let chunk = (
        "[a-z]{1,40}",
        prop_oneof![Just(""), Just(";a=b"), Just(";x=\"y\"")],
    );
    prop_oneof![
        Just((String::new(), "\r\n".to_owned())),
        "[a-z]{0,60}".prop_map(|body| {
            let wire = format!("Content-Length: {}\r\n\r\n{body}", body.len());
            (body, wire)
        }),
        (
            proptest::collection::vec(chunk, 0..5),
            prop_oneof![Just(""), Just("X-End: 1\r\n")]
        )
            .prop_map(|(chunks, trailer)| {
                let body = chunks.iter().map(|(text, _)| text.as_str()).collect();
                let framed = chunks
                    .iter()
                    .map(|(text, ext)| format!("{:x}{ext}\r\n{text}\r\n", text.len()));
                let framed: String = framed.collect();
                (
                    body,
                    format!("transfer-encoding: Chunked\r\n\r\n{framed}0\r\n{trailer}\r\n"),
                )
            }),
    ]
}

/// Requests one behind the other: what they hold, and their bytes.
fn requests(bodies: &[(String, String)]) -> (Vec<(String, String)>, Vec<u8>) {
    let (mut expected, mut bytes) = (Vec::new(), Vec::new());
    for (nth, (body, wire)) in bodies.iter().enumerate() {
        expected.push((format!("/{nth}"), body.clone()));
        bytes.extend_from_slice(format!("POST /{nth} HTTP/1.1\r\nHost: h\r\n{wire}").as_bytes());
    }
    (expected, bytes)
}

proptest! {
    #[test]
    fn good_requests_arrive_as_they_were_sent(
        bodies in proptest::collection::vec(body(), 1..5),
        cuts in proptest::collection::vec(1usize..80, 1..10),
    ) {
        let (expected, bytes) = requests(&bodies);
        prop_assert_eq!(seen(&bytes, &cuts), expected);
    }

    /// One wrong byte may end the connection or swallow what follows; it never makes a request out of another's body.
    #[test]
    fn ht_01_a_wrong_byte_makes_no_request(
        bodies in proptest::collection::vec(body(), 1..5),
        cuts in proptest::collection::vec(1usize..80, 1..10),
        place in any::<proptest::sample::Index>(),
        byte in prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'0'), Just(b'9'), Just(b','), any::<u8>()],
        insert in any::<bool>(),
    ) {
        let (expected, mut bytes) = requests(&bodies);
        let at = place.index(bytes.len());
        if insert {
            bytes.insert(at, byte);
        } else {
            bytes[at] = byte;
        }
        let found = seen(&bytes, &cuts);
        prop_assert!(found.len() <= expected.len(), "{:?}", found);
        let head = expected.iter().zip(&found).position(|(sent, got)| sent != got).unwrap_or(found.len());
        // After the first request that differs, whatever comes still is one of those that were sent.
        for (path, _) in found.iter().skip(head + 1) {
            prop_assert!(expected.iter().any(|(sent, _)| sent == path), "{:?}", found);
        }
    }
}
