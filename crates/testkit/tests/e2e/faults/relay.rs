//! The wire between the gateway and a server, which fails after so many bytes of what the server says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a wire does once it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Nothing comes any more, and nobody says so.
    Hangs,
    /// Every connection ends.
    Breaks,
    /// Something else comes than was said, and then the end.
    Garbles,
    /// Far more comes than anybody wants.
    Floods,
}

/// How much a flood is, on each connection.
const FLOOD: usize = 24 << 20;

/// Bytes that are part of nothing that is spoken here.
const GARBAGE: &[u8] = b"\x00\xff\r\n\r\n}{\"jsonrpc\":[]]MCPB\x81\x7f\r\ndata: {\n\n";

/// A wire, until dropped.
pub(super) struct Wire {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    failure: Failure,
    /// After so many bytes of the server's, over all connections.
    after: u64,
    passed: AtomicU64,
    failed: AtomicBool,
    mended: watch::Sender<bool>,
}

impl Wire {
    /// A wire to `server`.
    pub(super) async fn new(server: SocketAddr, failure: Failure, after: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            failure,
            after,
            passed: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            mended: watch::Sender::new(false),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, server, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, state, task })
    }

    /// Where the gateway connects to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much the server has said.
    pub(super) fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Acquire)
    }

    /// Whether it has come to the failure.
    pub(super) fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Acquire)
    }

    /// It is well from now on.
    pub(super) fn mend(&self) {
        self.state.mended.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of the test's own on loopback")]
async fn connection(client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let ((mut from_client, to_client), (from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let asked = async {
        // Whichever side ends first ends both.
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    tokio::select! {
        () = asked => {}
        () = answers(from_server, to_client, &state) => {}
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let said = buffer.get(..read).unwrap_or_default();
        let before = state
            .passed
            .fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::AcqRel);
        let left = usize::try_from(state.after.saturating_sub(before)).unwrap_or(usize::MAX);
        if *state.mended.borrow() || left >= read {
            if to.write_all(said).await.is_err() {
                return;
            }
            continue;
        }
        if to.write_all(said.get(..left).unwrap_or_default()).await.is_ok() {
            state.failed.store(true, Ordering::Release);
            fail(&mut to, state).await;
        }
        return;
    }
}

async fn fail(to: &mut OwnedWriteHalf, state: &State) {
    match state.failure {
        Failure::Breaks => {}
        Failure::Hangs => {
            let mut mended = state.mended.subscribe();
            // The sender lives as long as the state does.
            let _ = mended.wait_for(|mended| *mended).await;
        }
        Failure::Garbles => {
            let _ = to.write_all(GARBAGE).await;
        }
        Failure::Floods => {
            let piece = vec![b' '; 64 << 10];
            for _ in 0..FLOOD / piece.len() {
                if to.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    }
}
