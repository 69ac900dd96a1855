//! The life of a conversation.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use sallyport_core::fault::{Blame, Fault};
use sallyport_mcp::error::{self, INVALID_REQUEST};
use sallyport_net::Duplex;
use sallyport_net::duplex::Incoming;
use tokio::time::{interval, timeout};

use super::hear::{self, Talk};
use super::{Conversation, Ended, Inner, Manner, mouth};
use crate::stream;
use crate::sync::lock;

/// How often it is looked whether the client may still be here: its token may have expired, or its grant have been
/// revoked, which is known within a second.
const LOOK: Duration = Duration::from_secs(3);

/// One message that is being worked on.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All of them. They end with the conversation.
type Works = FuturesUnordered<Work>;

/// Ends the session with the conversation, however that ends.
struct Leaving(Arc<Inner>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let session = lock(&self.0.state).session.take();
        if let Some(session) = session {
            self.0.proxy.sessions.end(&session);
        }
    }
}

impl Conversation {
    /// Speaks with the client until one side has had enough. Dropping the future cuts the connection and cancels what
    /// runs.
    pub async fn run(self, duplex: Duplex) -> Ended {
        let inner = self.0;
        let Duplex { incoming, outgoing } = duplex;
        let (mouth, waiting) = mouth::mouth();
        let (notices, events) = stream::channel();
        let mut writing = pin!(mouth::write(outgoing, waiting, events));
        let leaving = Leaving(Arc::clone(&inner));
        let talk = Talk::new(Arc::clone(&inner), mouth, notices);
        let ended = tokio::select! {
            ended = Box::pin(live(&talk, incoming)) => Ok(ended),
            written = &mut writing => Err(written.err().unwrap_or(Ended::Left)),
        };
        // Nobody is left who could say anything: the writer comes to its end.
        drop((talk, leaving));
        let ended = match ended {
            Ok(ended) => {
                let written = writing.await;
                written.err().unwrap_or(ended)
            }
            Err(ended) => ended,
        };
        tracing::debug!(request = %inner.request, ?ended, "a conversation has ended");
        ended
    }
}

/// Hears and works until there is a reason to stop. What still runs then is cancelled.
async fn live(talk: &Talk, mut incoming: Incoming) -> Ended {
    let inner = &talk.inner;
    let mut look = interval(LOOK);
    let mut work = Works::new();
    loop {
        let is_closing = inner.ending.is_cancelled();
        if is_closing && work.is_empty() {
            return Ended::Closing;
        }
        tokio::select! {
            Some(()) = work.next(), if !work.is_empty() => {}
            () = inner.proxy.closing.cancelled(), if !is_closing => inner.ending.cancel(),
            _ = look.tick() => {
                if let Err(ended) = inner.caller() {
                    return ended;
                }
            }
            heard = incoming.next(), if !inner.is_opening() => match heard {
                Some(Ok(message)) => {
                    if let Err(ended) = begin(talk, message, &work) {
                        return ended;
                    }
                }
                Some(Err(fault)) => return broken(talk, &fault).await,
                None => return left(inner, work).await,
            },
        }
    }
}

/// Begins to work on a message.
///
/// # Errors
/// The conversation may not go on.
fn begin(talk: &Talk, message: bytes::Bytes, work: &Works) -> Result<(), Ended> {
    let caller = talk.inner.caller()?;
    let limits = &caller.limits;
    // Calls and streams have bounds of their own; this one is for what is neither, and waits.
    let most = limits
        .calls_per_principal
        .saturating_add(limits.streams_per_principal);
    let is_full = work.len() >= most;
    let mut hearing: Work = Box::pin(hear::hear(talk.clone(), caller, message, is_full));
    // Once before the next message is read: which ids run, and whether a session opens, is known from then on.
    if hearing.as_mut().now_or_never().is_none() {
        work.push(hearing);
    }
    Ok(())
}

/// The connection is no use any more. A client that broke the rules of the framing is told so.
async fn broken(talk: &Talk, fault: &Fault) -> Ended {
    if fault.blame != Blame::Client {
        tracing::debug!(request = %talk.inner.request, "a connection broke: {fault}");
        return Ended::Left;
    }
    let text = format!("The connection is closed: {fault}");
    talk.say(error::message(None, INVALID_REQUEST, &text, None)).await;
    Ended::Unreadable
}

/// The client has said its last. Where it may still listen, what runs comes to its end within a time.
async fn left(inner: &Inner, mut work: Works) -> Ended {
    inner.ending.cancel();
    if let Some(session) = inner.session() {
        session.ears.questions.close();
    }
    let Manner::FirstMessage(patience) = inner.manner else {
        return Ended::Left;
    };
    let done = async { while work.next().await.is_some() {} };
    tokio::select! {
        done = timeout(patience, done) => {
            if done.is_err() {
                tracing::info!("calls that did not end in time are cancelled");
            }
        }
        // Nobody is left who would miss the rest.
        () = inner.proxy.closing.cancelled() => {}
    }
    Ended::Left
}
