//! A second opinion: whatever we read, hyper reads alike, and right requests arrive as they were sent in any split.

use std::convert::Infallible;
use std::sync::Mutex;

use http_body_util::{BodyExt as _, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

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
            draining: Arc::default(),
            neighbours: Arc::default(),
        });
        let arrived = Arrived {
            stream: theirs,
            peer,
            ahead: None,
        };
        let server = tokio::spawn(serve(shared, arrived));
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

/// What hyper's server makes of the same bytes.
fn hyper_sees(bytes: &[u8]) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = duplex(1 << 20);
        let notes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&notes);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let noted = Arc::clone(&noted);
            async move {
                let path = request.uri().path().to_owned();
                if let Ok(body) = request.into_body().collect().await {
                    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                    noted.lock().unwrap().push((path, body));
                }
                Ok::<_, Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        let server = builder
            .half_close(true)
            .serve_connection(TokioIo::new(theirs), service);
        let server = tokio::spawn(async move { server.await.is_ok() });
        // hyper may hang up before it has read everything.
        let _ = ours.write_all(bytes).await;
        let _ = ours.shutdown().await;
        let _ = ours.read_to_end(&mut Vec::new()).await;
        server.await.unwrap();
        let notes = notes.lock().unwrap();
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
fn requests(bodies: &[(String, String)], fields: &str) -> (Vec<(String, String)>, Vec<u8>) {
    let (mut expected, mut bytes) = (Vec::new(), Vec::new());
    for (nth, (body, wire)) in bodies.iter().enumerate() {
        expected.push((format!("/{nth}"), body.clone()));
        bytes.extend_from_slice(format!("POST /{nth} HTTP/1.1\r\nHost: h\r\n{fields}{wire}").as_bytes());
    }
    (expected, bytes)
}

/// Some fields that mean nothing, and their bytes.
fn fields() -> impl Strategy<Value = String> {
    let field = ("[A-Za-z][A-Za-z0-9_-]{0,11}", "[ \t]{0,2}[!-~]?[ -~\u{e9}]{0,20}");
    let known = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
        "upgrade",
    ];
    proptest::collection::vec(field, 0..4).prop_map(move |fields| {
        let fields = fields.into_iter();
        let fields = fields.filter(|(name, _)| !known.contains(&name.to_ascii_lowercase().as_str()));
        fields
            .map(|(name, value)| format!("{name}:{value}\r\n"))
            .collect()
    })
}

proptest! {
    #[test]
    fn good_requests_arrive_as_they_were_sent(
        bodies in proptest::collection::vec(body(), 1..5),
        fields in fields(),
        cuts in proptest::collection::vec(1usize..80, 1..10),
    ) {
        let (expected, bytes) = requests(&bodies, &fields);
        prop_assert_eq!(&seen(&bytes, &cuts), &expected);
        prop_assert_eq!(&hyper_sees(&bytes), &expected);
    }

    /// One wrong byte may end the connection or swallow what follows; it never makes a request out of another's body, and
    /// what is read in spite of it hyper reads alike: we may refuse what hyper takes, never the other way round.
    #[test]
    fn ht_01_a_wrong_byte_makes_no_request(
        bodies in proptest::collection::vec(body(), 1..5),
        fields in fields(),
        cuts in proptest::collection::vec(1usize..80, 1..10),
        place in any::<proptest::sample::Index>(),
        byte in prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'0'), Just(b'9'), Just(b','), any::<u8>()],
        insert in any::<bool>(),
    ) {
        let (expected, mut bytes) = requests(&bodies, &fields);
        let at = place.index(bytes.len());
        if insert {
            bytes.insert(at, byte);
        } else {
            bytes[at] = byte;
        }
        let found = seen(&bytes, &cuts);
        let theirs = hyper_sees(&bytes);
        prop_assert!(theirs.starts_with(&found), "we: {:?}, hyper: {:?}", found, theirs);
        prop_assert!(found.len() <= expected.len(), "{:?}", found);
        let head = expected.iter().zip(&found).position(|(sent, got)| sent != got).unwrap_or(found.len());
        // After the first request that differs, whatever comes still is one of those that were sent.
        for (path, _) in found.iter().skip(head + 1) {
            prop_assert!(expected.iter().any(|(sent, _)| sent == path), "{:?}", found);
        }
    }
}
