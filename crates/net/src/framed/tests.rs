//! Both sides against each other, through sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sallyport_core::fault::{Fault, Retry};
use sallyport_core::{RequestId, Secret};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::*;
use crate::carrier::Farewell;
use crate::egress::{Egress, EgressPolicy};
use crate::listen::{ListenOptions, Listener, ServerHandle};
use crate::{Duplex, Reach, Worker};

/// Says everything back; the token `good` comes in, `better` goes on.
pub(super) struct Echo {
    pub(super) stop: CancellationToken,
}

impl Gate for Echo {
    type Admitted = ();

    fn admit(&self, _: &Arc<Worker>, auth: &AuthFrame, _: SocketAddr, _: RequestId) -> Result<(), Refused> {
        let good = auth.token.matches(b"good");
        good.then_some(())
            .ok_or(Refused("the token is not good".to_owned()))
    }

    async fn renew(&self, (): &(), auth: &AuthFrame, _: SocketAddr) -> Result<(), Refused> {
        let good = auth.token.matches(b"better");
        good.then_some(())
            .ok_or(Refused("the token is not better".to_owned()))
    }

    fn farewell(&self, (): &()) -> Farewell {
        if self.stop.is_cancelled() {
            Farewell::Away
        } else {
            Farewell::Done
        }
    }

    async fn converse(&self, (): (), mut duplex: Duplex) {
        loop {
            tokio::select! {
                message = duplex.incoming.next() => match message {
                    Some(Ok(message)) if message == "bye" => break,
                    Some(Ok(message)) => duplex.outgoing.send(message).await.unwrap(),
                    _ => break,
                },
                () = self.stop.cancelled() => break,
            }
        }
        let _ = duplex.outgoing.close().await;
    }
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) handle: Option<ServerHandle>,
    pub(super) stop: CancellationToken,
}

impl Server {
    pub(super) fn start(options: Options, change: impl FnOnce(&mut ListenOptions)) -> Self {
        let mut listening = ListenOptions::new("127.0.0.1:0".parse().unwrap());
        listening.workers = 1;
        change(&mut listening);
        let listener = Listener::bind(listening).unwrap();
        let addr = listener.local_addrs()[0];
        let stop = CancellationToken::new();
        let gate = Arc::new(Echo { stop: stop.clone() });
        let handle = listen(listener, gate, options, stop.clone()).unwrap();
        Self {
            addr,
            handle: Some(handle),
            stop,
        }
    }

    async fn open(&self, auth: Option<&AuthFrame>) -> Result<Duplex, Fault> {
        let url = Url::parse(&format!("tcp://{}", self.addr)).unwrap();
        let target = Egress::new(EgressPolicy::default())
            .target(&url, Reach::Operator)
            .unwrap();
        connect(&target, auth, Options::default()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
        }
    }
}

pub(super) fn auth(token: &str) -> AuthFrame {
    AuthFrame {
        token: Secret::from(token),
        client_id: [1; 16],
        timestamp: 1_000_000,
    }
}

#[tokio::test]
async fn our_client_and_our_server_understand_each_other() {
    let server = Server::start(Options::default(), |_| ());
    let mut duplex = server.open(Some(&auth("good"))).await.unwrap();
    for size in [2, 16 * 1024, 1 << 20] {
        let message = Bytes::from(vec![b'x'; size]);
        duplex.outgoing.send(message.clone()).await.unwrap();
        assert_eq!(duplex.incoming.next().await.unwrap().unwrap(), message);
    }
    duplex.outgoing.send("bye".into()).await.unwrap();
    assert!(duplex.incoming.next().await.is_none(), "an end in good order");
}

#[tokio::test]
async fn a_client_with_a_bad_token_is_told_so() {
    let server = Server::start(Options::default(), |_| ());
    let mut duplex = server.open(Some(&auth("bad"))).await.unwrap();
    let fault = duplex.incoming.next().await.unwrap().unwrap_err();
    assert!(fault.to_string().contains("the token is not good"), "{fault}");
}

#[tokio::test]
async fn who_does_not_speak_the_protocol_is_no_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    let other = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    });
    let target = Egress::new(EgressPolicy::default())
        .target(&url, Reach::Operator)
        .unwrap();
    let fault = connect(&target, None, Options::default()).await.err().unwrap();
    assert_eq!(fault.retry, Retry::Safe);
    assert!(
        fault.to_string().contains("this is not the framed protocol"),
        "{fault}"
    );
    drop(other.await.unwrap());
}

#[tokio::test]
async fn a_shutdown_says_so_and_waits() {
    let mut server = Server::start(Options::default(), |_| ());
    let mut duplex = server.open(Some(&auth("good"))).await.unwrap();
    duplex.outgoing.send("{}".into()).await.unwrap();
    duplex.incoming.next().await.unwrap().unwrap();
    server.stop.cancel();
    let drained = tokio::spawn(server.handle.take().unwrap().drain());
    let fault = duplex.incoming.next().await.unwrap().unwrap_err();
    assert!(fault.to_string().contains("the gateway stops"), "{fault}");
    drop(duplex);
    timeout(Duration::from_secs(20), drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn ht_13_connections_are_counted_as_those_of_http() {
    let server = Server::start(Options::default(), |listening| listening.max_per_peer = 1);
    let mut first = server.open(Some(&auth("good"))).await.unwrap();
    assert!(
        server.open(Some(&auth("good"))).await.is_err(),
        "a second of one peer"
    );
    first.outgoing.send("bye".into()).await.unwrap();
    assert!(first.incoming.next().await.is_none());
    drop(first);
    while server.handle.as_ref().unwrap().connections() > 0 {
        tokio::task::yield_now().await;
    }
    server.open(Some(&auth("good"))).await.unwrap();
}

#[test]
fn urls_of_framed_servers_are_checked_like_those_of_web_servers() {
    let egress = Egress::new(EgressPolicy::default());
    let target = |url: &str, reach| egress.target(&Url::parse(url).unwrap(), reach).map(drop);
    for url in [
        "tcp://127.0.0.1:9",
        "tls://server.example:9",
        "tcp://[::1]:9",
        "ws://server.example/",
    ] {
        assert!(target(url, Reach::Operator).is_ok(), "{url}");
        assert!(target(url, Reach::Public).is_err(), "{url}: not for strangers");
    }
    for url in [
        "tcp://server.example",
        "tcp://169.254.169.254:9",
        "tls://metadata.google.internal:9",
        "tcp://user@server.example:9",
        "tcp://:9",
    ] {
        let refused = Url::parse(url).is_err() || target(url, Reach::Operator).is_err();
        assert!(refused, "{url}");
    }
}
