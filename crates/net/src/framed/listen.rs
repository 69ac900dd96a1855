//! The server's side: connections as they come, each with a version, a token, and then a conversation.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use sallyport_core::RequestId;
use sallyport_core::fault::Blame;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::codec::{CodecError, Kind, VERSION};
use super::conversation::{Broken, Framed, Renewal};
use super::hello::{Agreed, AuthFrame, Versions};
use crate::carrier::{Farewell, Terms, duplex};
use crate::listen::{Arrived, Draining, Listener, Moving, Protocol, ServerHandle, number};
use crate::{Duplex, Worker};

/// Why somebody is not let in, in words that the peer is told.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Who lets clients in, and speaks with them.
pub trait Gate: Send + Sync + 'static {
    /// A client that is in.
    type Admitted: Clone + Send + Sync + 'static;

    /// Gets what is missing to judge the token of a client that wants to come in. It has what is left of the time for the
    /// hello.
    fn prepare(&self, _auth: &AuthFrame, _peer: SocketAddr) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Lets a client in by its token. `request` is the number by which log and trail know the connection.
    ///
    /// # Errors
    /// [`Refused`]; the connection is closed with these words.
    fn admit(
        &self,
        worker: &Arc<Worker>,
        auth: &AuthFrame,
        peer: SocketAddr,
        request: RequestId,
    ) -> Result<Self::Admitted, Refused>;

    /// Goes on under another token. Nothing more is read from the client before it is judged.
    ///
    /// # Errors
    /// [`Refused`]; the connection is closed with these words.
    fn renew(
        &self,
        admitted: &Self::Admitted,
        auth: &AuthFrame,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Why a conversation is being closed now.
    fn farewell(&self, admitted: &Self::Admitted) -> Farewell;

    /// Speaks with the client until the end.
    fn converse(&self, admitted: Self::Admitted, duplex: Duplex) -> impl Future<Output = ()> + Send;
}

/// Serves the framed protocol on bound sockets. A cancelled `shutdown` stops the accepting; conversations are ended by
/// the gate.
///
/// # Errors
/// When the threads or their runtimes cannot be made.
pub fn listen<G: Gate>(
    listener: Listener,
    gate: Arc<G>,
    options: Options,
    shutdown: CancellationToken,
) -> io::Result<ServerHandle> {
    listener.run(shutdown, |worker, _, draining, _| Door {
        gate: Arc::clone(&gate),
        worker,
        options,
        draining,
    })
}

/// What the connections of one worker have in common.
struct Door<G> {
    gate: Arc<G>,
    worker: Arc<Worker>,
    options: Options,
    draining: Arc<Draining>,
}

impl<G: Gate> Protocol for Door<G> {
    async fn serve(self: Arc<Self>, arrived: Arrived<TcpStream>) -> Option<Moving<TcpStream>> {
        let (stream, peer) = arrived.into_parts();
        self.speak(stream, peer).await;
        None
    }
}

impl<G: Gate> Door<G> {
    async fn speak(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let mut framed = Framed::new(stream);
        let greeted = tokio::select! {
            biased;
            () = self.draining.begins() => return,
            greeted = timeout(self.options.hello, self.greet(&mut framed, peer)) => greeted,
        };
        let admitted = match greeted {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(Turned::Words(words))) => {
                let _ = timeout(self.options.pace.linger, framed.dismiss(&words)).await;
                return;
            }
            // Who speaks something else would not understand an answer.
            Ok(Err(Turned::Stranger)) | Err(_) => return,
        };
        let renewing = (Arc::clone(&self.gate), admitted.clone());
        let renew = Box::new(move |payload: &[u8]| -> Renewal {
            let (gate, admitted) = renewing.clone();
            let auth = AuthFrame::decode(payload).map_err(|error| error.to_string());
            Box::pin(async move {
                let renewed = gate.renew(&admitted, &auth?, peer).await;
                renewed.map_err(|Refused(words)| words)
            })
        });
        framed.open(self.options.message_bytes, Some(renew));
        let ending = (Arc::clone(&self.gate), admitted.clone());
        let duplex = duplex(
            framed,
            Terms {
                blame: Blame::Client,
                pace: self.options.pace,
                reason: Some(Arc::new(move || ending.0.farewell(&ending.1))),
            },
        );
        Box::pin(self.gate.converse(admitted, duplex)).await;
    }
}

enum Turned {
    /// With these words.
    Words(String),
    /// Without any.
    Stranger,
}

impl From<&str> for Turned {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl From<Broken> for Turned {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Codec(CodecError::Magic) | Broken::Cut | Broken::Io(_) => Self::Stranger,
            Broken::Codec(error) => Self::Words(error.to_string()),
        }
    }
}

impl<G: Gate> Door<G> {
    /// Version and token. Nothing else is looked at before.
    async fn greet(&self, framed: &mut Framed<TcpStream>, peer: SocketAddr) -> Result<G::Admitted, Turned> {
        let first = framed.read().await?.ok_or(Turned::Stranger)?;
        if first.kind != Kind::Negotiate {
            return Err("the first frame is the offer of versions (type 6)".into());
        }
        let offer: Option<Versions> = serde_json::from_slice(&first.payload).ok();
        if !offer.is_some_and(|offer| offer.include_ours()) {
            return Err("only version 1 is spoken here".into());
        }
        let agreed = Agreed {
            agreed_version: VERSION,
        };
        framed.queue(Kind::Agreed, &serde_json::to_vec(&agreed).unwrap_or_default());
        framed.flush().await.map_err(|_| Turned::Stranger)?;
        let second = framed.read().await?.ok_or(Turned::Stranger)?;
        if second.kind != Kind::Auth {
            return Err("the second frame shows the token (type 8)".into());
        }
        let auth = AuthFrame::decode(&second.payload).map_err(|error| Turned::Words(error.to_string()))?;
        self.gate.prepare(&auth, peer).await;
        let admitted = self.gate.admit(&self.worker, &auth, peer, number());
        admitted.map_err(|Refused(words)| Turned::Words(words))
    }
}
