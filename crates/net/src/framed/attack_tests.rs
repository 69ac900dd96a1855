//! Peers that send exactly the bytes they are told.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tests::{Server, auth};
use super::*;
use crate::carrier::Pace;

const OFFER: &[u8] = br#"{"min_version":1,"max_version":1,"preferred_version":1,"supported_versions":[1]}"#;

/// The bytes of a frame.
fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"MCPB\x00\x01".to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn hello(token: &str) -> Vec<u8> {
    [frame(6, OFFER), frame(8, &auth(token).encode())].concat()
}

struct Peer(TcpStream);

impl Peer {
    async fn connect(server: &Server) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test is the peer")]
        Self(TcpStream::connect(server.addr).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The server may close while we still write.
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame, or `None` at the end of the connection.
    async fn read(&mut self) -> Option<(u16, Vec<u8>)> {
        let mut header = [0; 12];
        timeout(Duration::from_secs(20), self.0.read_exact(&mut header))
            .await
            .expect("the server neither answers nor closes")
            .ok()?;
        assert_eq!(&header[..6], b"MCPB\x00\x01");
        let length = u32::from_be_bytes(header[8..].try_into().unwrap());
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((u16::from_be_bytes([header[6], header[7]]), payload))
    }

    /// Everything up to the end of the connection: the types, and the words of the last error.
    async fn rest(&mut self) -> (Vec<u16>, String) {
        let (mut kinds, mut words) = (Vec::new(), String::new());
        while let Some((kind, payload)) = self.read().await {
            kinds.push(kind);
            if kind == 5 {
                words = String::from_utf8(payload).unwrap();
            }
        }
        (kinds, words)
    }
}

async fn admitted(server: &Server) -> Peer {
    let mut peer = Peer::connect(server).await;
    peer.send(&hello("good")).await;
    assert_eq!(peer.read().await, Some((7, br#"{"agreed_version":1}"#.to_vec())));
    peer
}

#[tokio::test]
async fn wt_01_frames_in_a_thousand_pieces_are_frames() {
    let server = Server::start(Options::default(), |_| ());
    let mut peer = Peer::connect(&server).await;
    let bytes = [hello("good"), frame(1, &[b'x'; 900])].concat();
    for piece in bytes.chunks(1) {
        peer.send(piece).await;
    }
    assert_eq!(peer.read().await.unwrap().0, 7);
    assert_eq!(peer.read().await, Some((1, vec![b'x'; 900])));
}

#[tokio::test]
async fn wt_01_a_payload_past_the_limit_ends_the_connection() {
    let options = Options {
        message_bytes: 1000,
        ..Options::default()
    };
    let server = Server::start(options, |_| ());
    let mut peer = admitted(&server).await;
    peer.send(&frame(1, &[b'x'; 1000])).await;
    assert_eq!(peer.read().await, Some((1, vec![b'x'; 1000])));
    peer.send(&frame(1, &[b'x'; 1001])[..12]).await;
    assert_eq!(peer.rest().await, (vec![5], "a message is too large".to_owned()));
}

#[tokio::test]
async fn wt_01_nobody_sends_much_before_the_token() {
    let server = Server::start(Options::default(), |_| ());
    for kind in [6, 8] {
        let mut peer = Peer::connect(&server).await;
        if kind == 8 {
            peer.send(&frame(6, OFFER)).await;
            peer.read().await.unwrap();
        }
        peer.send(&frame(kind, &[b'x'; 9 * 1024 + 1])[..12]).await;
        let (_, words) = peer.rest().await;
        assert!(words.contains("too long"), "{words}");
    }
}

#[tokio::test]
async fn wt_02_nothing_is_done_before_version_and_token() {
    let server = Server::start(Options::default(), |_| ());
    let call = frame(1, br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let table = [
        ("a call at once", call.clone(), "type 6"),
        ("a token at once", frame(8, &auth("good").encode()), "type 6"),
        (
            "another version",
            frame(6, br#"{"min_version":2,"max_version":2,"preferred_version":2}"#),
            "version 1",
        ),
        ("an offer that is none", frame(6, b"{"), "version 1"),
        (
            "a call instead of the token",
            [frame(6, OFFER), call].concat(),
            "type 8",
        ),
        (
            "two offers",
            [frame(6, OFFER), frame(6, OFFER)].concat(),
            "type 8",
        ),
        (
            "half a token",
            [frame(6, OFFER), frame(8, b"\0\0\0\x09x")].concat(),
            "malformed",
        ),
        ("a bad token", hello("bad"), "not good"),
    ];
    for (what, bytes, expected) in table {
        let mut peer = Peer::connect(&server).await;
        peer.send(&bytes).await;
        let (kinds, words) = peer.rest().await;
        assert!(words.contains(expected), "{what}: {words}");
        assert!(
            kinds.iter().all(|kind| [5, 7].contains(kind)),
            "{what}: {kinds:?}"
        );
    }
}

#[tokio::test]
async fn wt_02_who_does_not_come_to_the_point_is_closed() {
    assert_eq!(Options::default().hello, Duration::from_secs(5));
    let options = Options {
        hello: Duration::from_millis(300),
        ..Options::default()
    };
    let server = Server::start(options, |_| ());
    for bytes in [Vec::new(), frame(6, OFFER)[..20].to_vec(), frame(6, OFFER)] {
        let mut peer = Peer::connect(&server).await;
        peer.send(&bytes).await;
        let began = Instant::now();
        let (kinds, _) = peer.rest().await;
        assert!(!kinds.contains(&1) && !kinds.contains(&2));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn wt_02_a_token_is_renewed_by_another_frame_or_the_conversation_ends() {
    let server = Server::start(Options::default(), |_| ());
    let mut peer = admitted(&server).await;
    peer.send(&frame(8, &auth("better").encode())).await;
    peer.send(&frame(1, b"[]")).await;
    assert_eq!(peer.read().await, Some((1, b"[]".to_vec())));
    for payload in [auth("worse").encode().to_vec(), b"\0\0\0\0".to_vec()] {
        let mut peer = admitted(&server).await;
        peer.send(&frame(8, &payload)).await;
        let (kinds, words) = peer.rest().await;
        assert_eq!(kinds, [5]);
        assert!(
            words.contains("not better") || words.contains("malformed"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn wt_05_health_is_answered_and_a_flood_of_it_is_not() {
    let options = Options {
        pace: Pace {
            control_burst: 10,
            ..Pace::default()
        },
        ..Options::default()
    };
    let server = Server::start(options, |_| ());
    let mut peer = admitted(&server).await;
    peer.send(&frame(4, b"there?")).await;
    assert_eq!(peer.read().await, Some((4, b"there?".to_vec())));
    peer.send(&frame(4, b"").repeat(10_000)).await;
    let (kinds, words) = peer.rest().await;
    assert!(kinds.len() <= 12, "{} answers", kinds.len());
    assert_eq!(words, "not allowed, or too much");
}

#[tokio::test]
async fn wt_05_a_peer_without_a_sign_of_life_is_asked_and_closed() {
    let options = Options {
        pace: Pace {
            probe: Duration::from_millis(100),
            silence: Duration::from_millis(350),
            ..Pace::default()
        },
        ..Options::default()
    };
    let server = Server::start(options, |_| ());
    let mut peer = admitted(&server).await;
    // Answers are not answered: otherwise there would be no end of it.
    for _ in 0..10 {
        assert_eq!(peer.read().await, Some((4, Vec::new())));
        peer.send(&frame(4, b"")).await;
    }
    let (kinds, _) = peer.rest().await;
    assert_eq!(kinds.last(), Some(&5));
    assert!(kinds.len() <= 5, "{kinds:?}");
}

#[tokio::test]
async fn wt_07_who_speaks_something_else_is_closed_at_once_without_an_answer() {
    let server = Server::start(Options::default(), |_| ());
    for other in [
        &b"POST /mcp HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
        b"{\"jsonrpc\":\"2.0\"}",
    ] {
        let mut peer = Peer::connect(&server).await;
        let began = Instant::now();
        peer.send(other).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(20), peer.0.read_to_end(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer, b"", "{other:?}");
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "not only after the time for the hello"
        );
    }
}

#[tokio::test]
async fn wt_07_other_magic_version_or_type_within_a_conversation_ends_it() {
    let server = Server::start(Options::default(), |_| ());
    let good = frame(1, b"{}");
    for (at, byte) in [(0, b'm'), (5, 2), (7, 99), (7, 6), (7, 7)] {
        let mut peer = admitted(&server).await;
        let mut bytes = good.clone();
        bytes[at] = byte;
        peer.send(&bytes).await;
        assert_eq!(peer.rest().await, (vec![5], "the framing is broken".to_owned()));
    }
}

#[tokio::test]
async fn control_frames_are_ignored_and_responses_are_messages() {
    let server = Server::start(Options::default(), |_| ());
    let mut peer = admitted(&server).await;
    peer.send(&[frame(3, b"?"), frame(2, br#"{"id":1,"result":{}}"#)].concat())
        .await;
    assert_eq!(peer.read().await, Some((2, br#"{"id":1,"result":{}}"#.to_vec())));
}
