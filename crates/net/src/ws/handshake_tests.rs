//! The opening handshake, through the listener, with our own client and with bytes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use sallyport_core::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::peer::{CLOSE, TEXT, closed, masked, read};
use super::{Options, accept, connect};
use crate::carrier::{Farewell, Reason};
use crate::egress::{Egress, EgressPolicy};
use crate::http1::Trouble;
use crate::listen::{ListenOptions, Listener, ServerHandle};
use crate::{Inbound, Reach, Response, Service, Worker, respond};

/// Says everything back; at the shutdown it closes.
struct Echo {
    stop: CancellationToken,
}

impl Service for Echo {
    async fn call(&self, _: &Arc<Worker>, inbound: Inbound) -> Response {
        if inbound.parts.uri.path() == "/forbidden" {
            return respond::text(StatusCode::UNAUTHORIZED, "no");
        }
        if inbound.parts.headers.contains_key("x-drop-subprotocol") {
            return respond::text(StatusCode::IM_A_TEAPOT, "the header came through");
        }
        let stop = self.stop.clone();
        let stopped = stop.clone();
        let reason: Reason = Arc::new(move || {
            if stopped.is_cancelled() {
                Farewell::Away
            } else {
                Farewell::Done
            }
        });
        let options = Options {
            reason: Some(reason),
            ..Options::default()
        };
        let (response, opened) = match accept(inbound, options) {
            Ok(accepted) => accepted,
            Err(error) => return error.answer(),
        };
        tokio::spawn(async move {
            let mut duplex = opened.await.expect("an upgrade");
            loop {
                tokio::select! {
                    message = duplex.incoming.next() => match message {
                        Some(Ok(message)) => duplex.outgoing.send(message).await.unwrap(),
                        _ => break,
                    },
                    () = stop.cancelled() => break,
                }
            }
            let _ = duplex.outgoing.close().await;
        });
        response
    }
}

struct Server {
    addr: std::net::SocketAddr,
    handle: Option<ServerHandle>,
    stop: CancellationToken,
}

impl Server {
    fn start(change: impl FnOnce(&mut ListenOptions)) -> Self {
        let mut options = ListenOptions::new("127.0.0.1:0".parse().unwrap());
        options.workers = 1;
        change(&mut options);
        let listener = Listener::bind(options).unwrap();
        let addr = listener.local_addrs()[0];
        let stop = CancellationToken::new();
        let service = Arc::new(Echo { stop: stop.clone() });
        let handle = listener.serve(service, stop.clone()).unwrap();
        Self {
            addr,
            handle: Some(handle),
            stop,
        }
    }

    async fn raw(&self) -> TcpStream {
        #[expect(clippy::disallowed_methods, reason = "the test is the client")]
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends a request and returns the head of the answer.
    async fn ask(&self, request: &str) -> (String, TcpStream) {
        let mut stream = self.raw().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap().into());
        }
        (head, stream)
    }

    async fn open(&self, path: &str, headers: &[(String, Secret<String>)]) -> Result<crate::Duplex, Trouble> {
        let url = Url::parse(&format!("ws://{}{path}", self.addr)).unwrap();
        let target = Egress::new(EgressPolicy::default())
            .target(&url, Reach::Operator)
            .unwrap();
        connect(&target, headers, Options::default())
            .await
            .map_err(|fault| {
                let text = fault.to_string();
                match Trouble::of(&fault) {
                    Some(Trouble::Refused(status)) => Trouble::Refused(*status),
                    _ => panic!("{text}"),
                }
            })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
        }
    }
}

/// The request of RFC 6455 §1.3, changed.
fn request(changes: &[(&str, Option<&str>)]) -> String {
    let mut headers = vec![
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    for (name, value) in changes {
        headers.retain(|(known, _)| known != name);
        if let Some(value) = value {
            headers.push((name, value));
        }
    }
    let mut text = String::from("GET /ws HTTP/1.1\r\nHost: h\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

fn status(head: &str) -> u16 {
    head[9..12].parse().unwrap()
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[tokio::test]
async fn the_handshake_of_the_rfc_gets_the_answer_of_the_rfc() {
    let server = Server::start(|_| ());
    let (head, mut stream) = server.ask(&request(&[])).await;
    assert_eq!(status(&head), 101);
    assert_eq!(
        header(&head, "sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(header(&head, "sec-websocket-protocol"), None);
    // Line ends within frames, at which a reader of HTTP would stumble.
    stream.write_all(&masked(TEXT, b"{\n\n}")).await.unwrap();
    assert_eq!(read(&mut stream).await, Some((TEXT, b"{\n\n}".to_vec())));
}

#[tokio::test]
async fn requests_that_open_nothing_are_told_why() {
    let server = Server::start(|_| ());
    type Changes = &'static [(&'static str, Option<&'static str>)];
    let table: [(Changes, u16); 13] = [
        (&[("Upgrade", None)], 426),
        (&[("Upgrade", Some("h2c"))], 426),
        (&[("Connection", Some("close"))], 426),
        (&[("Sec-WebSocket-Version", None)], 426),
        (&[("Sec-WebSocket-Version", Some("8"))], 426),
        (&[("Sec-WebSocket-Version", Some("13, 8"))], 426),
        (&[("Sec-WebSocket-Key", None)], 400),
        (&[("Sec-WebSocket-Key", Some("c2hvcnQ="))], 400),
        (&[("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZR=="))], 400),
        (&[("Sec-WebSocket-Protocol", Some("chat, soap"))], 400),
        (&[("Sec-WebSocket-Protocol", Some("MCP"))], 400),
        (&[("Sec-WebSocket-Protocol", Some(""))], 400),
        (&[("Content-Length", Some("5"))], 400),
    ];
    for (changes, expected) in table {
        let text = request(changes);
        let (head, _) = server.ask(&text).await;
        assert_eq!(status(&head), expected, "{text}");
        if expected == 426 {
            assert_eq!(header(&head, "sec-websocket-version"), Some("13"), "{text}");
            assert_eq!(header(&head, "upgrade"), Some("websocket"), "{text}");
        }
    }
    let (head, _) = server.ask(&request(&[]).replace("GET", "POST")).await;
    assert_eq!((status(&head), header(&head, "allow")), (405, Some("GET")));
}

#[tokio::test]
async fn the_first_of_the_clients_subprotocols_that_is_ours_is_chosen() {
    let server = Server::start(|_| ());
    for (offered, chosen) in [
        ("mcp", "mcp"),
        ("mcp-protocol", "mcp-protocol"),
        ("chat, mcp-protocol, mcp", "mcp-protocol"),
        ("mcp,mcp-protocol", "mcp"),
    ] {
        let (head, _) = server
            .ask(&request(&[("Sec-WebSocket-Protocol", Some(offered))]))
            .await;
        assert_eq!(
            (status(&head), header(&head, "sec-websocket-protocol")),
            (101, Some(chosen))
        );
    }
}

#[tokio::test]
async fn wt_04_compression_is_not_negotiated_and_a_compressed_frame_ends_the_connection() {
    let server = Server::start(|_| ());
    let offer = "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame";
    let (head, mut stream) = server
        .ask(&request(&[("Sec-WebSocket-Extensions", Some(offer))]))
        .await;
    assert_eq!(
        (status(&head), header(&head, "sec-websocket-extensions")),
        (101, None)
    );
    // 1 kB that would become 1 GB: the bit that says so is not ours to know.
    stream.write_all(&masked(0xc1, &[0xaa; 1024])).await.unwrap();
    assert_eq!(closed(&mut stream).await, Some(1002));
}

#[tokio::test]
async fn our_client_and_our_server_understand_each_other() {
    let server = Server::start(|_| ());
    let mut duplex = server.open("/ws?a=b", &[]).await.unwrap();
    for size in [2, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = bytes::Bytes::from(vec![b'x'; size]);
        duplex.outgoing.send(message.clone()).await.unwrap();
        assert_eq!(duplex.incoming.next().await.unwrap().unwrap(), message);
    }
    duplex.outgoing.close().await.unwrap();
    assert!(duplex.incoming.next().await.is_none());
}

#[tokio::test]
async fn the_client_tells_what_it_was_answered() {
    let server = Server::start(|_| ());
    let Err(Trouble::Refused(status)) = server.open("/forbidden", &[]).await else {
        panic!("a status");
    };
    assert_eq!(status, 401);
    let headers = [
        ("X-Drop-Subprotocol".to_owned(), Secret::from("1")),
        // Of the handshake, and so not taken from the configuration.
        ("Sec-WebSocket-Key".to_owned(), Secret::from("x")),
        ("Host".to_owned(), Secret::from("elsewhere")),
    ];
    assert!(matches!(
        server.open("/ws", &headers).await,
        Err(Trouble::Refused(418))
    ));
}

#[tokio::test]
async fn deadlines_of_requests_do_not_end_a_living_websocket() {
    let server = Server::start(|options| {
        options.idle_timeout = Duration::from_millis(50);
        options.header_timeout = Duration::from_millis(50);
        options.body_timeout = Duration::from_millis(50);
    });
    let mut duplex = server.open("/ws", &[]).await.unwrap();
    let silent = timeout(Duration::from_millis(500), duplex.incoming.next()).await;
    assert!(silent.is_err(), "it was closed");
    duplex.outgoing.send("{}".into()).await.unwrap();
    assert_eq!(duplex.incoming.next().await.unwrap().unwrap(), "{}");
}

#[tokio::test]
async fn ht_13_a_websocket_counts_as_a_connection_until_it_ends() {
    let server = Server::start(|options| options.max_connections = 1);
    let (_, mut stream) = server.ask(&request(&[])).await;
    assert_eq!(server.handle.as_ref().unwrap().connections(), 1);
    let mut other = server.raw().await;
    assert_eq!(
        other.read(&mut [0]).await.unwrap_or(0),
        0,
        "a second one is closed at once"
    );
    stream
        .write_all(&masked(CLOSE, &1000u16.to_be_bytes()))
        .await
        .unwrap();
    assert_eq!(read(&mut stream).await.unwrap().0, CLOSE);
    drop(stream);
    while server.handle.as_ref().unwrap().connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shutdown_closes_websockets_with_1001_and_waits_for_them() {
    let mut server = Server::start(|_| ());
    let (_, mut stream) = server.ask(&request(&[])).await;
    stream.write_all(&masked(TEXT, b"{}")).await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap().0, TEXT);
    server.stop.cancel();
    let drained = tokio::spawn(server.handle.take().unwrap().drain());
    assert_eq!(closed(&mut stream).await, Some(1001));
    timeout(Duration::from_secs(20), drained).await.unwrap().unwrap();
}
