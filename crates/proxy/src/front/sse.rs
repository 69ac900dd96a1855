//! HTTP+SSE (2024-11-05, Transports): GET opens a stream, whose first event says where to POST; what is posted there is
//! answered on the stream. Both halves are one conversation, which dies with its stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http::Method;
use http::request::Parts;
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_core::random::token;
use sallyport_core::{PrincipalKey, Secret};
use sallyport_mcp::error::INVALID_REQUEST;
use sallyport_mcp::{jsonrpc, sse};
use sallyport_net::{Body, Duplex, Inbound, Response, respond};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard, PollSender};

use super::duplex::{Conversation, Credential, Entrance, Manner};
use super::{bad_body, limits, refuse, unreadable};
use crate::caller::Caller;
use crate::deliver;
use crate::door;
use crate::refusal::Refusal;
use crate::sync::lock;

/// The halves of the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    /// What the gateway says: GET.
    Stream,
    /// What the client says: POST.
    Messages,
}

/// The endpoint below a path of this transport, and which half it is.
pub(crate) fn half(path: &str) -> Option<(&str, Half)> {
    let stream = path.strip_suffix("/sse").map(|base| (base, Half::Stream));
    stream.or_else(|| path.strip_suffix("/messages").map(|base| (base, Half::Messages)))
}

/// Answers one request of an admitted caller.
pub(crate) async fn serve(caller: Arc<Caller>, half: Half, inbound: Inbound) -> Response {
    match (half, &inbound.parts.method) {
        (Half::Stream, &Method::GET) => open(&caller, &inbound.parts),
        (Half::Messages, &Method::POST) => post(&caller, inbound).await,
        (Half::Stream, _) => respond::method_not_allowed(&[Method::GET]),
        (Half::Messages, _) => respond::method_not_allowed(&[Method::POST]),
    }
}

/// The open streams of this process, by the session id in the address that each has named.
#[derive(Default)]
pub(crate) struct Streams(Mutex<HashMap<Box<str>, Arc<Open>>>);

/// One of them.
struct Open {
    owner: PrincipalKey,
    endpoint: Arc<str>,
    conversation: Conversation,
    posts: mpsc::Sender<Bytes>,
}

impl Streams {
    /// The stream of this id, if it is this caller's (IS-01).
    fn find(&self, id: &str, caller: &Caller) -> Option<Arc<Open>> {
        let open = lock(&self.0).get(id).cloned();
        open.filter(|open| open.owner == caller.key && open.endpoint == caller.endpoint.key)
    }
}

/// Opens a stream.
fn open(caller: &Arc<Caller>, parts: &Parts) -> Response {
    if !caller.accept.events {
        return refuse(&Refusal::new(
            406,
            INVALID_REQUEST,
            "This stream is text/event-stream",
        ));
    }
    let Some((base, _)) = half(door::path_of(parts)) else {
        return door::no_such_place();
    };
    let entrance = Entrance {
        path: base.to_owned(),
        credential: Credential::admitted(caller, parts),
        manner: Manner::Legacy,
        peer: caller.peer,
        request: caller.request,
    };
    let conversation = match caller.proxy.enter_duplex(&caller.worker, entrance) {
        Ok(conversation) => conversation,
        Err(turned) => return turned.response(),
    };
    // Whoever did not see the stream cannot guess it, and it is of no use to another principal.
    let id: Box<str> = token::<16>(&*caller.proxy.random).into();
    let endpoint = sse::endpoint(&format!("{base}/messages?sessionId={id}"));
    // One message is under way at a time: whoever posts waits until the conversation has taken it.
    let (posts, posted) = mpsc::channel(1);
    let (events, told) = mpsc::channel(1);
    let gone = CancellationToken::new();
    let open = Open {
        owner: caller.key.clone(),
        endpoint: Arc::clone(&caller.endpoint.key),
        conversation: conversation.clone(),
        posts,
    };
    lock(&caller.proxy.streams.0).insert(id.clone(), Arc::new(open));
    let left = Left {
        caller: Arc::clone(caller),
        id,
    };
    let duplex = duplex(posted, events, gone.clone());
    tokio::spawn(async move {
        let _left = left;
        conversation.run(duplex).await;
    });
    let live = Live {
        caller: Arc::clone(caller),
        endpoint: Some(endpoint),
        told,
        _gone: gone.drop_guard(),
    };
    deliver::events(Body::stream(stream::unfold(live, next)))
}

/// Forgets a stream when its conversation is over.
struct Left {
    caller: Arc<Caller>,
    id: Box<str>,
}

impl Drop for Left {
    fn drop(&mut self) {
        lock(&self.caller.proxy.streams.0).remove(&self.id);
    }
}

/// What is posted and what is told, as one connection; it breaks with the stream.
fn duplex(posted: mpsc::Receiver<Bytes>, events: mpsc::Sender<Bytes>, gone: CancellationToken) -> Duplex {
    let heard = stream::unfold(posted, |mut posted| async {
        posted.recv().await.map(|message| (Ok(message), posted))
    });
    let broken = |_| {
        Fault::new(
            Blame::Client,
            Retry::Never,
            "write to the stream",
            "it was closed",
        )
    };
    Duplex {
        incoming: Box::pin(heard.take_until(gone.cancelled_owned())),
        outgoing: Box::pin(PollSender::new(events).sink_map_err(broken)),
    }
}

/// The stream as the body of its answer.
struct Live {
    caller: Arc<Caller>,
    endpoint: Option<Bytes>,
    told: mpsc::Receiver<Bytes>,
    _gone: DropGuard,
}

async fn next(mut live: Live) -> Option<(Result<Bytes, Fault>, Live)> {
    if let Some(endpoint) = live.endpoint.take() {
        return Some((Ok(endpoint), live));
    }
    let beat = live.caller.proxy.pulse.next(live.caller.worker.index());
    let event = tokio::select! {
        biased;
        message = live.told.recv() => sse::frame(&message?),
        () = beat => sse::comment(),
    };
    Some((Ok(event), live))
}

/// Takes a message. Its answer comes on the stream.
async fn post(caller: &Arc<Caller>, inbound: Inbound) -> Response {
    let Inbound { parts, body, .. } = inbound;
    let open = session_id(&parts).and_then(|id| caller.proxy.streams.find(id, caller));
    let gone = || {
        refuse(&Refusal::new(
            404,
            INVALID_REQUEST,
            "Session not found: open the stream again",
        ))
    };
    let Some(open) = open else { return gone() };
    if !caller.is_json {
        return refuse(&Refusal::new(
            415,
            INVALID_REQUEST,
            "Content-Type must be application/json",
        ));
    }
    let body = match body.collect(caller.limits.request_bytes).await {
        Ok(body) => body,
        Err(error) => return refuse(&bad_body(error)),
    };
    if !jsonrpc::is_batch(&body)
        && let Err(error) = jsonrpc::scan(&body, &limits(caller))
    {
        return refuse(&unreadable(&error));
    }
    if let Ok((scheme, token)) = door::shown(&parts.headers) {
        // A refreshed token keeps the stream open, too. The one at hand was good a moment ago; where it is not any
        // more, the stream ends in its own time.
        let is_proved = scheme == door::Scheme::Proved;
        let _ = open.conversation.renew_by(&Secret::from(token), is_proved);
    }
    match open.posts.send(body).await {
        Ok(()) => door::accepted(),
        Err(_) => gone(),
    }
}

/// The `sessionId` of a query. It has no characters that would be escaped.
fn session_id(parts: &Parts) -> Option<&str> {
    let pairs = parts.uri.query()?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name == "sessionId").then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_of_an_endpoint() {
        for (path, found) in [
            ("/mcp/sse", Some(("/mcp", Half::Stream))),
            ("/mcp/a/sse", Some(("/mcp/a", Half::Stream))),
            ("/mcp/a/messages", Some(("/mcp/a", Half::Messages))),
            ("/mcp/a", None),
            ("/mcp/asse", None),
        ] {
            assert_eq!(half(path), found, "{path}");
        }
    }
}
