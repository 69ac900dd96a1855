//! What the tests of the listener have in common: a service that notes what arrives, and clients on raw sockets.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::{Handle, Id};

use super::*;
use crate::{Body, SharedBytes, pull, respond};

/// Notes what arrives, and answers by path.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) calls: Mutex<Vec<String>>,
    pub(super) dropped: AtomicUsize,
    /// The runtimes of the workers that requests came to.
    places: Mutex<BTreeMap<usize, Id>>,
    shared: Shared,
}

/// 5 MB that many are answered with: more than a connection takes at once.
struct Shared(SharedBytes);

impl Default for Shared {
    fn default() -> Self {
        let numbers = (0_u32..1_250_000).flat_map(u32::to_be_bytes);
        Self(SharedBytes::new(numbers.collect::<Vec<u8>>().into()))
    }
}

impl Recorder {
    /// What "/shared" is answered with, behind what the request's field X-Head says.
    pub(super) fn shared(&self) -> &[u8] {
        &self.shared.0
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Recorder {
    /// Answers with the worker's number. The request is drawn to the worker of this number, if it is one.
    fn at(&self, worker: &Arc<Worker>, drawn: &str) -> Response {
        let mut places = self.places.lock().unwrap();
        places.insert(worker.index(), Handle::current().id());
        if let Ok(drawn) = drawn.parse() {
            pull::draw(places[&drawn]);
        }
        respond::text(StatusCode::OK, format!("at {}", worker.index()))
    }
}

pub(super) const LIMIT: usize = 1000;

impl Service for Recorder {
    async fn call(&self, worker: &Arc<Worker>, inbound: Inbound) -> Response {
        let path = inbound.parts.uri.path().to_owned();
        self.calls
            .lock()
            .unwrap()
            .push(format!("{} {path}", inbound.parts.method));
        if let Some(drawn) = inbound.parts.uri.query() {
            return self.at(worker, drawn);
        }
        match path.as_str() {
            "/early" => respond::text(StatusCode::UNAUTHORIZED, "early"),
            "/echo" => match inbound.body.collect(LIMIT).await {
                Ok(body) => respond::rpc(StatusCode::OK, body),
                Err(error) => respond::bad_body(error),
            },
            "/panic" => panic!("a bug"),
            "/large" => http::Response::new(Body::full(vec![b'x'; 8 << 20])),
            "/shared" => {
                let head = inbound.parts.headers.get("x-head");
                let head = head.map_or(&b""[..], |head| head.as_bytes()).to_vec();
                http::Response::new(Body::shared(head.into(), self.shared.0.clone()))
            }
            "/wait" => {
                struct Count<'a>(&'a AtomicUsize);
                impl Drop for Count<'_> {
                    fn drop(&mut self) {
                        self.0.fetch_add(1, Ordering::SeqCst);
                    }
                }
                let _count = Count(&self.dropped);
                std::future::pending().await
            }
            _ => respond::text(StatusCode::OK, "ok"),
        }
    }
}

pub(super) struct Server {
    pub(super) recorder: Arc<Recorder>,
    pub(super) addr: std::net::SocketAddr,
    pub(super) handle: Option<ServerHandle>,
}

impl Server {
    pub(super) fn start(change: impl FnOnce(&mut ListenOptions)) -> Self {
        let mut options = ListenOptions::new("127.0.0.1:0".parse().unwrap());
        options.workers = 2;
        change(&mut options);
        let listener = Listener::bind(options).unwrap();
        let addr = listener.local_addrs()[0];
        let recorder = Arc::new(Recorder::default());
        let handle = listener
            .serve(Arc::clone(&recorder), tokio_util::sync::CancellationToken::new())
            .unwrap();
        Self {
            recorder,
            addr,
            handle: Some(handle),
        }
    }

    pub(super) fn connect(&self) -> TcpStream {
        #[expect(clippy::disallowed_methods, reason = "the test is the client")]
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends bytes and reads until the server closes.
    pub(super) fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may close while we still write.
        let _ = stream.write_all(bytes);
        read_all(&mut stream)
    }

    /// One status line for each answer.
    pub(super) fn statuses(&self, bytes: &[u8]) -> Vec<u16> {
        statuses(&self.talk(bytes))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
        }
    }
}

pub(super) fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!(
                "the server does not close: {error}; so far {:?}",
                String::from_utf8_lossy(&answer)
            ),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn statuses(answers: &str) -> Vec<u16> {
    answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].parse().unwrap())
        .collect()
}

pub(super) fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with(end) {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {answer:?}");
        answer.push(byte[0].into());
    }
    answer
}
