//! Who hears what outside of requests: listen streams of modern clients, and the ears that servers speak into.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use sallyport_core::{PrincipalKey, Random, ServerName, SmolStr};
use sallyport_mcp::capabilities::ClientCapabilities;
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Limits, scan};
use sallyport_mcp::method::Method;

use crate::ask::Questions;
use crate::exchange::{Downstream, Question};
use crate::notice::{self, Changes};
use crate::session::Sessions;
use crate::stream::{Feed, Outbox};
use crate::sync::lock;
use crate::tasks::{self, Hears, Subject};
use crate::visit::Expected;

/// A resource of a server, by the server's own URI.
pub(crate) type Remote = (ServerName, SmolStr);

/// One `subscriptions/listen` stream.
pub(crate) struct Listen {
    /// Whose it is.
    pub(crate) owner: PrincipalKey,
    /// At which endpoint.
    pub(crate) endpoint: Arc<str>,
    /// Which list changes were asked for.
    pub(crate) wants: Changes,
    /// The resources that were asked for, with the URIs that the client knows.
    pub(crate) follows: HashMap<Remote, SmolStr>,
    /// The tasks that were asked for.
    pub(crate) tasks: Vec<Arc<Subject>>,
    /// The raw id of the request.
    pub(crate) id: Bytes,
    /// The stream.
    pub(crate) feed: Feed,
}

impl Listen {
    /// Tells the client, by this stream.
    pub(crate) fn tell(&self, message: &[u8]) {
        self.feed.send(notice::tagged(message, &self.id));
    }

    fn updated(&self, resource: &Remote, message: &[u8]) {
        if let Some(visible) = self.follows.get(resource) {
            self.tell(&notice::with_uri(message, visible));
        }
    }
}

/// All listen streams.
#[derive(Default)]
pub(crate) struct Hub {
    listens: Mutex<HashMap<u64, Arc<Listen>>>,
    next: AtomicU64,
    /// The visits of modern clients' people that legacy servers wait for.
    pub(crate) expected: Expected,
}

/// A listen stream's place in the hub, left on drop.
pub(crate) struct Place {
    hub: Arc<Hub>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.hub.listens).remove(&self.number);
    }
}

impl Hub {
    /// Enters a stream.
    pub(crate) fn enter(self: &Arc<Self>, listen: Listen) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.listens).insert(number, Arc::new(listen));
        Place {
            hub: Arc::clone(self),
            number,
        }
    }

    /// Tells the listeners of an endpoint which of its lists have changed.
    pub(crate) fn changed(&self, endpoint: &str, changes: Changes) {
        for listen in self.those(|listen| *listen.endpoint == *endpoint) {
            for message in changes.only(listen.wants).messages() {
                listen.tell(&message);
            }
        }
    }

    /// The streams of this principal on which a task is followed, by the id that the client knows.
    pub(crate) fn of_task(&self, owner: &PrincipalKey, id: &str) -> Vec<(Arc<Listen>, Arc<Subject>)> {
        let mut found = Vec::new();
        for listen in self.those(|listen| listen.owner == *owner) {
            let subject = listen.tasks.iter().find(|subject| subject.id() == id).cloned();
            found.extend(subject.map(|subject| (listen, subject)));
        }
        found
    }

    fn those(&self, fits: impl Fn(&Listen) -> bool) -> Vec<Arc<Listen>> {
        let listens = lock(&self.listens);
        listens.values().filter(|listen| fits(listen)).cloned().collect()
    }
}

/// What a server said outside of any call, as far as it concerns anyone.
enum Said {
    /// This resource has changed.
    Updated(Remote),
    /// A task has come to another state.
    Task,
    /// For whoever has the session: log messages.
    Words,
    /// A URL elicitation is over, by the server's id.
    Visited(Box<str>),
    /// Nothing that is passed on. List changes are seen by the catalogue, which compares before it tells.
    Nothing,
}

fn understand(server: &ServerName, message: &[u8]) -> Said {
    let Ok(envelope) = scan(message, &Limits::SERVER) else {
        return Said::Nothing;
    };
    match envelope.called() {
        Method::ResourceUpdated => {
            let uri = envelope.params.as_ref().and_then(|p| p.uri());
            uri.map_or(Said::Nothing, |uri| {
                Said::Updated((server.clone(), uri.value.into()))
            })
        }
        Method::TaskStatus | Method::Tasks => Said::Task,
        // Progress of a call goes its call's way; that of a task outlives the call.
        Method::Progress => Said::Task,
        Method::LogMessage => Said::Words,
        Method::ElicitationComplete => {
            let id = envelope
                .params_raw()
                .and_then(|raw| json::find(raw, "elicitationId"));
            let id = id.and_then(json::decode);
            id.map_or(Said::Nothing, |id| Said::Visited(id.into()))
        }
        _ => Said::Nothing,
    }
}

/// The ears of one legacy session.
pub(crate) struct SessionEars {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) can: ClientCapabilities,
    pub(crate) follows: Mutex<HashMap<Remote, SmolStr>>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) hears: Hears,
}

impl SessionEars {
    /// Puts a question on the session's stream if the client can answer such a question and listens; else the server is
    /// told that there is no answer.
    pub(crate) fn put(&self, question: Question) {
        let method = Method::parse(&question.method);
        if !self.outbox.is_open() || !self.can.allow(method, question.params.as_deref()) {
            return;
        }
        if let Some((asked, message)) = self.questions.ask(&*self.random, question) {
            asked.leave_open();
            self.outbox.send(message);
        }
    }

    fn updated(&self, resource: &Remote, message: &[u8]) {
        let visible = lock(&self.follows).get(resource).cloned();
        if let Some(visible) = visible {
            self.outbox.send(notice::with_uri(message, &visible));
        }
    }
}

impl Downstream for SessionEars {
    fn notify(&self, server: &ServerName, message: Bytes) {
        match understand(server, &message) {
            Said::Updated(resource) => self.updated(&resource, &message),
            Said::Task => tasks::tell(&self.hears, server, &message),
            Said::Words | Said::Visited(_) => self.outbox.send(message),
            Said::Nothing => {}
        }
    }

    fn hears(&self) -> bool {
        self.outbox.is_open()
    }

    fn ask(&self, server: &ServerName, question: Question) {
        if let Some(question) = tasks::ask(&self.hears.tasks, server, question) {
            self.put(question);
        }
    }
}

/// The ears of one principal's modern requests at all its endpoints.
pub(crate) struct ModernEars {
    pub(crate) hears: Hears,
    pub(crate) owner: PrincipalKey,
}

impl Downstream for ModernEars {
    fn notify(&self, server: &ServerName, message: Bytes) {
        match understand(server, &message) {
            Said::Updated(resource) => {
                for listen in self.hears.hub.those(|listen| listen.owner == self.owner) {
                    listen.updated(&resource, &message);
                }
            }
            Said::Task => tasks::tell(&self.hears, server, &message),
            // A modern client finds out by calling again; the gateway may, for it.
            Said::Visited(id) => self.hears.hub.expected.tell(&self.owner, server, &id),
            Said::Words | Said::Nothing => {}
        }
    }

    fn hears(&self) -> bool {
        false
    }

    /// A modern client cannot be asked outside of a call, but by a task.
    fn ask(&self, server: &ServerName, question: Question) {
        let unanswered = tasks::ask(&self.hears.tasks, server, question);
        drop(unanswered);
    }
}

/// The ears of a server that everyone shares: who follows a resource hears of it, whoever's request started that.
pub(crate) struct SharedEars {
    pub(crate) hears: Hears,
    pub(crate) sessions: Weak<Sessions>,
}

impl Downstream for SharedEars {
    fn notify(&self, server: &ServerName, message: Bytes) {
        let resource = match understand(server, &message) {
            Said::Updated(resource) => resource,
            Said::Task => return tasks::tell(&self.hears, server, &message),
            Said::Words | Said::Visited(_) | Said::Nothing => return,
        };
        for listen in self.hears.hub.those(|_| true) {
            listen.updated(&resource, &message);
        }
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.each(|session| session.ears.updated(&resource, &message));
        }
    }

    fn hears(&self) -> bool {
        false
    }

    /// Nobody in particular is there to answer, but for a task.
    fn ask(&self, server: &ServerName, question: Question) {
        let unanswered = tasks::ask(&self.hears.tasks, server, question);
        drop(unanswered);
    }
}
