//! What servers call the sessions that they have for clients' sessions, so that the next process goes on with them: a
//! client that comes back with its id finds what it has left there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sallyport_core::capability::{Purpose, SealState};
use sallyport_core::session::{KeepSessions, ServerSession, SessionNonce};
use sallyport_core::{PrincipalKey, ServerName};
use sallyport_mcp::session::ServerSessionSeal;

use crate::exchange::ClientView;
use crate::sync::lock;

/// So many that were opened or have ended wait to be written; more are not kept, or forgotten later. Some 8 MB.
const WAITING: usize = 16 * 1024;

/// The sessions at servers, outside of memory.
pub struct ServerSessions {
    keeper: Arc<dyn KeepSessions>,
    sealer: Arc<dyn SealState>,
    changes: Mutex<Changes>,
}

/// What has changed since it was last written.
#[derive(Default)]
pub(crate) struct Changes {
    opened: HashMap<(SessionNonce, ServerName), ServerSession>,
    ended: HashSet<ServerSession>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.ended.is_empty()
    }

    pub(crate) fn opened(&self) -> Vec<ServerSession> {
        self.opened.values().cloned().collect()
    }

    pub(crate) fn ended(&self) -> Vec<ServerSession> {
        self.ended.iter().cloned().collect()
    }
}

impl ServerSessions {
    /// Those that `keeper` keeps.
    #[must_use]
    pub fn new(keeper: Arc<dyn KeepSessions>, sealer: Arc<dyn SealState>) -> Arc<Self> {
        Arc::new(Self {
            keeper,
            sealer,
            changes: Mutex::default(),
        })
    }

    /// What is to be written.
    pub(crate) fn changes(&self) -> Changes {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// It could not be written; what has changed meanwhile stands, and comes first where there is no room for all.
    pub(crate) fn give_back(&self, before: Changes) {
        let mut changes = lock(&self.changes);
        let Changes { opened, ended } = &mut *changes;
        for (key, session) in before.opened {
            if opened.len() < WAITING && !ended.contains(&session) {
                opened.entry(key).or_insert(session);
            }
        }
        let room = WAITING.saturating_sub(ended.len());
        ended.extend(before.ended.into_iter().take(room));
    }

    fn opened(&self, session: ServerSession) {
        let mut changes = lock(&self.changes);
        if changes.opened.len() < WAITING {
            let key = (session.nonce, session.server.clone());
            changes.opened.insert(key, session);
        }
    }

    fn ended(&self, session: &ServerSession) {
        let mut changes = lock(&self.changes);
        let key = (session.nonce, session.server.clone());
        if changes.opened.get(&key) == Some(session) {
            changes.opened.remove(&key);
        }
        if changes.ended.len() < WAITING {
            changes.ended.insert(session.clone());
        }
    }
}

/// The place of one client's session at one server.
pub(crate) struct Place {
    sessions: Arc<ServerSessions>,
    owner: PrincipalKey,
    nonce: SessionNonce,
    server: ServerName,
    binding: String,
    /// Whether an earlier process may have left a session here.
    unseen: AtomicBool,
}

/// A session that was found or put in its place.
pub(crate) struct Placed {
    place: Arc<Place>,
    session: ServerSession,
}

impl Place {
    /// The place for the client's session, if that comes back. What is kept there is good for `use_of` alone: the server as it
    /// is configured now, and the account that it is called with.
    pub(crate) fn new(
        sessions: &Arc<ServerSessions>,
        view: &ClientView,
        server: &ServerName,
        use_of: &str,
    ) -> Option<Arc<Self>> {
        let lasting = view.lasting.as_ref()?;
        let owner = view.principal.clone();
        let session = view.session.as_deref().unwrap_or_default();
        Some(Arc::new(Self {
            sessions: Arc::clone(sessions),
            binding: format!("{server} {use_of} {session} {owner}"),
            owner,
            nonce: lasting.nonce,
            server: server.clone(),
            unseen: AtomicBool::new(lasting.has_come_back),
        }))
    }

    /// What an earlier process has left here; asked for once.
    pub(crate) async fn find(self: &Arc<Self>) -> Option<(ServerSessionSeal, Placed)> {
        if !self.unseen.swap(false, Ordering::AcqRel) {
            return None;
        }
        let Self { sessions, owner, .. } = &**self;
        let found = sessions.keeper.at_server(owner, self.nonce, &self.server).await;
        // Where nobody knows, another session does as well.
        let sealed = found.ok().flatten()?;
        let plain = sessions
            .sealer
            .open(Purpose::KeptSession, &self.binding, &sealed)?;
        let seal = ServerSessionSeal::decode(&plain)?;
        Some((seal, self.placed(sealed)))
    }

    /// What was found could not be tried: it may be found again.
    pub(crate) fn leave(&self) {
        self.unseen.store(true, Ordering::Release);
    }

    /// Keeps a session that was opened.
    pub(crate) fn keep(self: &Arc<Self>, seal: &ServerSessionSeal) -> Placed {
        let sealer = &self.sessions.sealer;
        let placed = self.placed(sealer.seal(Purpose::KeptSession, &self.binding, &seal.encode()));
        self.sessions.opened(placed.session.clone());
        placed
    }

    fn placed(self: &Arc<Self>, sealed: String) -> Placed {
        Placed {
            place: Arc::clone(self),
            session: ServerSession {
                owner: self.owner.clone(),
                nonce: self.nonce,
                server: self.server.clone(),
                sealed,
            },
        }
    }
}

impl Placed {
    /// It is ended at the server: nobody is to find it.
    pub(crate) fn ends(&self) {
        self.place.sessions.ended(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::session::NothingKept;

    use super::*;
    use crate::tests::support::Wax;

    fn session(number: usize, sealed: &str) -> ServerSession {
        let mut nonce = [0; 16];
        for (to, from) in nonce.iter_mut().zip(number.to_le_bytes()) {
            *to = from;
        }
        ServerSession {
            owner: PrincipalKey::gateway(),
            nonce,
            server: ServerName::parse("s").expect("a name"),
            sealed: sealed.to_owned(),
        }
    }

    #[test]
    fn what_waits_at_the_limit_and_one_past_it() {
        let sessions = ServerSessions::new(Arc::new(NothingKept), Arc::new(Wax));
        for number in 0..=WAITING {
            sessions.opened(session(number, "opened"));
            sessions.ended(&session(number, "another"));
        }
        let changes = sessions.changes();
        assert_eq!(
            (changes.opened().len(), changes.ended().len()),
            (WAITING, WAITING)
        );
        assert!(sessions.changes().is_empty());
        // Nor does more wait when nothing can be written.
        sessions.give_back(changes);
        sessions.opened(session(WAITING + 1, "opened"));
        sessions.ended(&session(WAITING + 1, "another"));
        let before = sessions.changes();
        sessions.opened(session(WAITING + 2, "opened"));
        sessions.ended(&session(WAITING + 2, "another"));
        sessions.give_back(before);
        let changes = sessions.changes();
        assert_eq!(
            (changes.opened().len(), changes.ended().len()),
            (WAITING, WAITING)
        );
    }

    #[test]
    fn what_has_changed_while_nothing_could_be_written_stands() {
        let sessions = ServerSessions::new(Arc::new(NothingKept), Arc::new(Wax));
        sessions.opened(session(1, "first"));
        sessions.opened(session(2, "ended meanwhile"));
        let before = sessions.changes();
        sessions.opened(session(1, "second"));
        sessions.ended(&session(2, "ended meanwhile"));
        sessions.give_back(before);
        let changes = sessions.changes();
        let mut opened: Vec<_> = changes.opened().into_iter().map(|it| it.sealed).collect();
        opened.sort();
        // What has ended is written before what was opened, so it must not be among that.
        assert_eq!(opened, ["second"]);
        assert_eq!(changes.ended().len(), 1);
    }
}
