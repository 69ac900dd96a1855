//! Listening to changes at a server.

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sallyport_core::SmolStr;
use sallyport_core::fault::Fault;
use sallyport_mcp::json::{Object, decode, elements, quote_into};
use sallyport_mcp::jsonrpc::{Key, Limits, MetaKey, scan};
use sallyport_mcp::method::Method;
use sallyport_mcp::splice::{Edits, ObjectEdit};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::backoff::Backoff;
use super::changes::Changed;
use super::ground::Ground;
use super::link::Busy;
use super::outgoing::{Logs, Outgoing};
use super::presented::Presented;
use crate::exchange::{Downstream, Message, Reply};

/// What a listener wants to be told of (`subscriptions/listen`, revision 2026-07-28).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListenFilter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// `resourceSubscriptions`: the server's own URIs.
    pub uris: Vec<String>,
    /// `taskIds` of the tasks extension: the server's own ids.
    pub tasks: Vec<String>,
}

/// How often a stream that broke is asked for in vain before its news count as not to be heard.
const DEAF: u32 = 3;

/// An open listening; dropping it ends it.
pub struct Listening {
    /// What the server agreed to tell.
    pub accepted: ListenFilter,
    /// The raw error with which it refused the first of the rest, if it said why.
    pub refused: Option<Bytes>,
    ended: CancellationToken,
    _open: Box<dyn Send + Sync>,
    _busy: Option<Busy>,
}

impl Listening {
    pub(crate) fn new(accepted: ListenFilter, ended: CancellationToken, open: Box<dyn Send + Sync>) -> Self {
        Self {
            accepted,
            refused: None,
            ended,
            _open: open,
            _busy: None,
        }
    }

    /// The same, with why it is not more.
    pub(crate) fn refusing(mut self, refused: Option<Bytes>) -> Self {
        self.refused = refused;
        self
    }

    /// Keeps the link in use.
    pub(crate) fn with(mut self, busy: Busy) -> Self {
        self._busy = Some(busy);
        self
    }

    /// Becomes ready when the server is removed; a broken stream is opened again without a word.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// What is cancelled when the server is removed.
    pub(crate) fn end(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl ListenFilter {
    /// Whether there is anything to be told of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The raw parameters of `subscriptions/listen`, without `_meta`.
    fn params(&self) -> Vec<u8> {
        let mut out = b"{\"notifications\":{".to_vec();
        let flags = [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ];
        let mut members: Vec<Vec<u8>> = flags
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| format!("\"{name}\":true").into_bytes())
            .collect();
        let lists = [("resourceSubscriptions", &self.uris), ("taskIds", &self.tasks)];
        for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            let mut list = format!("\"{name}\":[").into_bytes();
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    list.push(b',');
                }
                quote_into(&mut list, value);
            }
            list.push(b']');
            members.push(list);
        }
        out.extend_from_slice(&members.join(&b','));
        out.extend_from_slice(b"}}");
        out
    }

    /// What an acknowledgement accepts of it.
    fn accepted(&self, acknowledgement: &[u8]) -> Self {
        let Ok(object) = Object::read(acknowledgement) else {
            return Self::default();
        };
        let list = |name: &str, asked: &[String]| -> Vec<String> {
            let values = object.get(name).and_then(|raw| elements(raw).ok());
            let values = values.iter().flatten();
            values
                .filter_map(|element| decode(element.value).map(String::from))
                .filter(|value| asked.contains(value))
                .collect()
        };
        Self {
            tools: self.tools && object.is_true("toolsListChanged"),
            prompts: self.prompts && object.is_true("promptsListChanged"),
            resources: self.resources && object.is_true("resourcesListChanged"),
            uris: list("resourceSubscriptions", &self.uris),
            tasks: list("taskIds", &self.tasks),
        }
    }
}

/// Why a server does not open a stream.
#[derive(Debug, thiserror::Error)]
#[error("the server does not open the stream")]
pub(crate) struct NoStream {
    /// Its raw error, if it said why.
    error: Option<Bytes>,
}

impl NoStream {
    fn of(reply: Reply) -> Self {
        let error = match reply {
            Reply::Whole(bytes) => scan(&bytes, &Limits::SERVER)
                .ok()
                .and_then(|envelope| Some(bytes.slice_ref(envelope.error_raw()?))),
            Reply::Long(_) | Reply::Stream(_) => None,
        };
        Self { error }
    }

    /// The server's words, if that is why something failed.
    pub(crate) fn said(fault: &Fault) -> Option<&Bytes> {
        fault.source()?.downcast_ref::<Self>()?.error.as_ref()
    }
}

/// Opens listen streams of a modern server.
pub(crate) trait OpenListen: Send + Sync + 'static {
    /// Sends the request and waits for the first message.
    fn open(&self, outgoing: &Outgoing<'_>) -> impl Future<Output = Result<Reply, Fault>> + Send;
}

/// Listens at a modern server until the handle is dropped. A stream that ends is opened again (P-61); list changes go to
/// the supervisor, updates of resources downstream. The first acknowledgement is sent to `acknowledged`.
pub(crate) fn follow(
    ground: &Arc<Ground>,
    source: impl OpenListen,
    presented: &Presented,
    filter: ListenFilter,
    downstream: Option<Arc<dyn Downstream>>,
    acknowledged: oneshot::Sender<Result<ListenFilter, Fault>>,
) -> AbortOnDropHandle<()> {
    let follower = Follower {
        ground: Arc::clone(ground),
        params: presented.modern_params(&filter.params(), None),
        filter,
        downstream,
    };
    let closing = ground.closing.clone();
    AbortOnDropHandle::new(ground.tasks.spawn(async move {
        tokio::select! {
            () = follower.run(source, acknowledged) => {}
            () = closing.cancelled() => {}
        }
    }))
}

struct Follower {
    ground: Arc<Ground>,
    params: Bytes,
    filter: ListenFilter,
    downstream: Option<Arc<dyn Downstream>>,
}

impl Follower {
    async fn run(self, source: impl OpenListen, acknowledged: oneshot::Sender<Result<ListenFilter, Fault>>) {
        let mut acknowledged = Some(acknowledged);
        let mut backoff = Backoff::default();
        loop {
            let outgoing = Outgoing {
                method: Method::Listen.as_str(),
                target: SmolStr::default(),
                params: self.params.clone(),
                id: Bytes::from_static(b"\"listen\""),
                token: None,
                logs: Logs::Listen,
                flows: false,
            };
            match source.open(&outgoing).await {
                Ok(Reply::Stream(messages)) => self.take_all(messages, &mut acknowledged, &mut backoff).await,
                Ok(reply @ (Reply::Whole(_) | Reply::Long(_))) => {
                    // Refused, or over before it began.
                    if let Some(waiting) = acknowledged.take() {
                        let refused = Fault::upstream("listen", NoStream::of(reply));
                        let _left = waiting.send(Err(refused));
                        return;
                    }
                }
                Err(fault) => {
                    if let Some(waiting) = acknowledged.take() {
                        let _left = waiting.send(Err(fault));
                        return;
                    }
                }
            }
            tokio::time::sleep(backoff.failed(&*self.ground.deps.random)).await;
            if backoff.failures() == DEAF && self.hears_of_lists() {
                self.ground.hears(false);
                self.ground.changes.add(Changed::LISTS);
            }
        }
    }

    /// Whether this is how changes of lists are told.
    fn hears_of_lists(&self) -> bool {
        self.filter.tools || self.filter.prompts || self.filter.resources
    }

    async fn take_all(
        &self,
        mut messages: std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Message, Fault>> + Send>>,
        acknowledged: &mut Option<oneshot::Sender<Result<ListenFilter, Fault>>>,
        backoff: &mut Backoff,
    ) {
        while let Some(Ok(Message::Notification(bytes))) = messages.next().await {
            let Ok(envelope) = scan(&bytes, &Limits::SERVER) else {
                continue;
            };
            match envelope.called() {
                Method::SubscriptionsAcknowledged => {
                    backoff.succeeded();
                    let accepted = envelope.params.as_ref().and_then(|p| p.get(Key::Notifications));
                    let accepted = self.filter.accepted(accepted.unwrap_or(b"{}"));
                    match acknowledged.take() {
                        // Whoever asked may have left already.
                        Some(waiting) => drop(waiting.send(Ok(accepted))),
                        // What changed in between was told to nobody.
                        None => self.ground.changes.add(Changed::LISTS),
                    }
                    if self.hears_of_lists() {
                        self.ground.hears(true);
                    }
                }
                Method::ResourceUpdated | Method::Tasks => self.updated(&bytes, &envelope),
                other => match Changed::of(other) {
                    Some(changed) => self.ground.changes.add(changed),
                    None => self.ground.counters.foreign_messages.add(),
                },
            }
        }
    }

    /// Only what was asked for, and without the server's name for the subscription.
    fn updated(&self, bytes: &Bytes, envelope: &sallyport_mcp::jsonrpc::Envelope<'_>) {
        let (key, asked) = match envelope.called() {
            Method::Tasks => (Key::TaskId, &self.filter.tasks),
            _ => (Key::Uri, &self.filter.uris),
        };
        let named = envelope.params.as_ref().and_then(|params| params.text(key));
        let wanted = named.is_some_and(|named| asked.iter().any(|known| *known == *named.value));
        let Some(downstream) = self.downstream.as_ref().filter(|_| wanted) else {
            self.ground.counters.foreign_messages.add();
            return;
        };
        let meta = envelope.meta().and_then(|meta| {
            let mut edit = ObjectEdit::new(meta.raw()).ok()?;
            edit.remove(MetaKey::SubscriptionId.as_str());
            let mut edits = Edits::new();
            edit.finish_into(&mut edits, meta.span().start());
            Some(edits.apply(bytes))
        });
        let message = meta.map_or_else(|| bytes.clone(), Bytes::from);
        downstream.notify(&self.ground.spec.name, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_written_and_its_acknowledgement_read() {
        let filter = ListenFilter {
            tools: true,
            prompts: true,
            resources: false,
            uris: vec!["a:\"1\"".into(), "b:2".into()],
            tasks: vec!["t1".into()],
        };
        assert_eq!(
            String::from_utf8_lossy(&filter.params()),
            r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a:\"1\"","b:2"],"taskIds":["t1"]}}"#
        );
        let acknowledged =
            br#"{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["b:2","c:3"],"taskIds":["t2"]}"#;
        let accepted = filter.accepted(acknowledged);
        assert_eq!(
            accepted,
            ListenFilter {
                tools: true,
                uris: vec!["b:2".into()],
                ..ListenFilter::default()
            },
            "never more than was asked for"
        );
        assert!(filter.accepted(b"[]").is_empty());
    }
}
