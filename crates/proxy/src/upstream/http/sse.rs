//! HTTP+SSE (2024-11-05): a stream of what the server says, and a second URL to which everything said to it is posted.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use sallyport_mcp::jsonrpc::{Kind, Limits, scan};
use sallyport_net::http1::RequestHead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::answer::{HttpError, judge_stream, judge_taken};
use super::endpoint::Endpoint;
use super::events::Events;
use crate::upstream::account::Account;
use crate::upstream::conversation::{Carrier, Conversation, Messages, Outbox, Unusable, WriteError, number};
use crate::upstream::ground::Ground;
use crate::upstream::inbox::{Inbox, QUESTIONS};
use crate::upstream::pace::Pace;

const OPERATION: &str = "open the event stream";

/// Opens the stream and waits to be told where to post. The session lives as long as the stream.
///
/// # Errors
/// A fault that is safe to repeat: no message was sent.
pub(crate) async fn open(
    ground: &Arc<Ground>,
    account: Option<&Account>,
    inbox: Arc<Inbox>,
) -> Result<Arc<Conversation>, Fault> {
    let endpoint = ground.endpoint_as(account)?;
    let opening = async {
        let head = endpoint.get();
        let patience = ground.spec.limits.handshake;
        let sent = endpoint.send_within(&ground.worker, &head, &[], patience);
        let mut events = judge_stream(sent.await?, endpoint.message_bytes).map_err(HttpError::into_fault)?;
        let told = told_where(&mut events).await?;
        let url = post_url(endpoint.url(), &told).map_err(|error| Fault::unreached(OPERATION, error))?;
        let posts = endpoint.elsewhere(&url);
        Ok::<_, Fault>((events, posts.map_err(|error| Fault::unreached(OPERATION, error))?))
    };
    let opened = tokio::time::timeout(ground.spec.limits.handshake, opening).await;
    let late = || Fault::unreached(OPERATION, "the server did not say where to post in time");
    let (events, posts) = opened.map_err(|_| late())??;
    let outbox = Outbox::new(ground.spec.limits.message_bytes);
    let conversation = Conversation::new(ground, Carrier::Connection, Era::Legacy, inbox, outbox);
    let posting = Posting::new(&conversation, posts);
    let stream = Stream {
        events,
        pace: Pace::unbounded(),
    };
    conversation.run(stream, posting.run());
    Ok(conversation)
}

/// The first event says where to post.
async fn told_where(events: &mut Events) -> Result<String, Fault> {
    match events.next(&Pace::unbounded()).await? {
        Some(event) if event.event.as_deref() == Some("endpoint") => String::from_utf8(event.data.into())
            .map_err(|_| Fault::unreached(OPERATION, "the server's `endpoint` event is no text")),
        _ => Err(Fault::unreached(
            OPERATION,
            "the server's stream does not begin with an `endpoint` event",
        )),
    }
}

/// Why the URL that a server names is not posted to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum WrongPlace {
    #[error("the server's `endpoint` event names no URL")]
    NoUrl,
    #[error("the server's `endpoint` event names a URL of another origin, to which nothing is sent")]
    OtherOrigin,
}

/// Where to post: what the server told, relative to the stream's URL. Configured headers are for one origin (P-94).
fn post_url(stream: &Url, told: &str) -> Result<Url, WrongPlace> {
    let url = stream.join(told.trim()).map_err(|_| WrongPlace::NoUrl)?;
    let same = url.origin().is_tuple() && url.origin() == stream.origin();
    if same && url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(WrongPlace::OtherOrigin)
    }
}

/// What the server says.
struct Stream {
    events: Events,
    /// Silence means nothing: a server that has nothing to say is silent. Each call has deadlines of its own.
    pace: Pace,
}

impl Messages for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, Unusable> {
        loop {
            match self.events.next(&self.pace).await? {
                Some(event) if event.is_message() => return Ok(Some(event.data)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn ready(&mut self) -> Result<Option<Bytes>, Unusable> {
        while let Some(event) = self.events.ready()? {
            if event.is_message() {
                return Ok(Some(event.data));
            }
        }
        Ok(None)
    }
}

/// Takes what waits to the server. Requests and answers are on their way at the same time, because some servers answer a
/// post only when its request is done; a notification is waited for, so that none is overtaken by what follows it.
struct Posting {
    conversation: Arc<Conversation>,
    endpoint: Arc<Endpoint>,
    head: RequestHead,
    /// As many as there can be calls and questions: no call waits for another one here.
    places: Arc<Semaphore>,
}

impl Posting {
    fn new(conversation: &Arc<Conversation>, endpoint: Endpoint) -> Self {
        let at_once = conversation
            .ground
            .spec
            .limits
            .concurrency
            .saturating_add(QUESTIONS);
        Self {
            conversation: Arc::clone(conversation),
            head: endpoint.post(),
            endpoint: Arc::new(endpoint),
            places: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
        }
    }

    async fn run(self) -> Result<(), WriteError> {
        while let Some(messages) = self.conversation.outbox().messages().await {
            for message in messages {
                let places = Arc::clone(&self.places).acquire_owned().await;
                let place = places.map_err(|error| Fault::gateway("post a message", error))?;
                let post = Post {
                    conversation: Arc::clone(&self.conversation),
                    endpoint: Arc::clone(&self.endpoint),
                    head: self.head.clone(),
                    message,
                    _place: place,
                };
                match scan(&post.message, &Limits::SERVER).map(|envelope| envelope.kind) {
                    Ok(Kind::Notification) => post.send().await,
                    _ => drop(self.conversation.ground.tasks.spawn(post.send())),
                }
            }
        }
        Ok(())
    }
}

/// One message on its way.
struct Post {
    conversation: Arc<Conversation>,
    endpoint: Arc<Endpoint>,
    head: RequestHead,
    message: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Post {
    async fn send(self) {
        let ground = &self.conversation.ground;
        let posted = async {
            let pieces: [&[u8]; 1] = [&self.message];
            let answer = self.endpoint.send(&ground.worker, &self.head, &pieces).await?;
            judge_taken(answer).await
        };
        let posted = tokio::select! {
            posted = posted => posted,
            // The calls have ended with the session.
            () = self.conversation.wait_ended() => return,
        };
        let Err(error) = posted else { return };
        if let HttpError::Refused(refused) = &error
            && matches!(refused.status, 404 | 410)
        {
            // The server has forgotten the session; whoever calls finds it closed.
            self.conversation.give_up();
        }
        let fault = error.into_fault();
        let id = scan(&self.message, &Limits::SERVER)
            .ok()
            .filter(|envelope| envelope.kind == Kind::Request)
            .and_then(|envelope| number(envelope.id_raw()?));
        match id {
            Some(id) => self.conversation.fail(id, fault),
            None => tracing::debug!(server = %ground.spec.name, %fault, "a message was not taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_94_only_the_streams_own_origin_is_posted_to() {
        let stream = Url::parse("https://h.example:8443/a/sse?key=1").expect("a URL");
        for (told, expected) in [
            (
                "/messages/?session_id=1",
                "https://h.example:8443/messages/?session_id=1",
            ),
            ("messages?s=1", "https://h.example:8443/a/messages?s=1"),
            ("?s=1", "https://h.example:8443/a/sse?s=1"),
            (" /m\n", "https://h.example:8443/m"),
            ("https://H.example:8443/m", "https://h.example:8443/m"),
        ] {
            let url = post_url(&stream, told).expect("its own origin");
            assert_eq!(url.as_str(), expected, "{told}");
        }
        for told in [
            "http://h.example:8443/m",
            "https://h.example/m",
            "https://evil.example:8443/m",
            "//evil.example/m",
            "\\\\evil.example\\m",
            "https://h.example:8443@evil.example/m",
            "https://u:p@h.example:8443/m",
            "javascript:alert(1)",
            "data:,x",
            "file:///etc/passwd",
        ] {
            assert_eq!(post_url(&stream, told), Err(WrongPlace::OtherOrigin), "{told}");
        }
        assert_eq!(post_url(&stream, "https://["), Err(WrongPlace::NoUrl));
    }
}
