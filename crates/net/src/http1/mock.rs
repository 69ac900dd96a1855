//! A server that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use url::Url;

use super::mock::Step::{Read, ReadHead, UntilClosed, Wait, Write};
use crate::egress::{Egress, EgressPolicy};
use crate::{Reach, Target};

/// What a server does on one connection.
#[derive(Clone)]
pub(super) enum Step {
    /// Reads one request, head and `Content-Length` body.
    Read,
    /// Reads a head only.
    ReadHead,
    Write(&'static str),
    /// Waits until the test says so.
    Wait,
    /// Tells the test when the client hangs up.
    UntilClosed,
}
pub(super) struct Server {
    pub(super) url: Url,
    requests: Arc<Mutex<Vec<String>>>,
    accepted: Arc<AtomicUsize>,
    pub(super) go: Arc<Notify>,
    pub(super) closed: Arc<Notify>,
}

impl Server {
    /// Each connection runs the next script; the last one is run again and again.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/mcp?x=1", listener.local_addr().unwrap())).unwrap();
        let server = Self {
            url,
            requests: Arc::default(),
            accepted: Arc::default(),
            go: Arc::default(),
            closed: Arc::default(),
        };
        let (requests, accepted) = (Arc::clone(&server.requests), Arc::clone(&server.accepted));
        let (go, closed) = (Arc::clone(&server.go), Arc::clone(&server.closed));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let nth = accepted.fetch_add(1, Ordering::SeqCst);
                let script = scripts[nth.min(scripts.len() - 1)].clone();
                let (requests, go, closed) = (Arc::clone(&requests), Arc::clone(&go), Arc::clone(&closed));
                tokio::spawn(async move {
                    for step in script {
                        match step {
                            Read | ReadHead => match read_request(&mut stream, matches!(step, Read)).await {
                                Some(request) => requests.lock().unwrap().push(request),
                                None => return,
                            },
                            Write(text) => {
                                let _ = stream.write_all(text.as_bytes()).await;
                            }
                            Wait => go.notified().await,
                            UntilClosed => {
                                let mut sink = Vec::new();
                                let _ = stream.read_to_end(&mut sink).await;
                                closed.notify_one();
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(super) fn target(&self) -> Arc<Target> {
        Egress::new(EgressPolicy::default())
            .target(&self.url, Reach::Operator)
            .unwrap()
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream, body: bool) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(request).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut rest = vec![
        0;
        if body {
            length.map_or(0, |n| n.parse().unwrap())
        } else {
            0
        }
    ];
    stream.read_exact(&mut rest).await.ok()?;
    Some(head + &String::from_utf8(rest).unwrap())
}
