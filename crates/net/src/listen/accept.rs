//! Accepting connections, through every shortage.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::caps::{Caps, Seat};

/// The first and the longest pause after a failure that is not the connection's own.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection on its way to a worker.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
    /// What was read ahead, if it comes from another worker.
    pub(super) ahead: Option<BytesMut>,
}

/// Accepts until `stop`, and deals what it gets out to the workers in turn.
pub(super) async fn accept(
    listener: TcpListener,
    workers: Vec<UnboundedSender<Accepted>>,
    caps: Arc<Caps>,
    stop: CancellationToken,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the listening socket cannot be watched"),
    };
    let mut turn = workers.iter().cycle();
    let mut pause = PAUSE;
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = next(&listener) => next,
        };
        let (stream, peer) = match next {
            Ok(accepted) => accepted,
            // The client left before it was accepted.
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // No descriptors or no memory: whoever is connected goes on, new ones wait in the kernel's queue.
                if pause == PAUSE {
                    tracing::warn!(%error, "connections cannot be accepted for now");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = PAUSE;
        let Some(seat) = caps.take(peer.ip()) else {
            tracing::debug!(%peer, "a connection beyond the limit was closed");
            continue;
        };
        let Some(worker) = turn.next() else { return };
        let accepted = Accepted {
            stream,
            peer,
            seat,
            ahead: None,
        };
        if worker.send(accepted).is_err() {
            tracing::error!("a worker is gone");
        }
    }
}

/// One connection, taken off this thread's runtime again: a worker's has it from now on.
async fn next(listener: &tokio::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream.into_std()?, peer))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput, NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | InvalidInput | NotConnected
    )
}
