//! Credentials that are in use: opened once in a while, kept for minutes, wiped when nobody holds them any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sallyport_core::account::{AccountId, Bearer, Holder};
use sallyport_core::{ServerName, Timestamp, UserId};
use tokio::sync::Mutex as Turn;

use crate::lock;

/// How long a credential is kept in memory before it is opened again.
const KEPT: Duration = Duration::from_secs(300);

/// The most that are kept; beyond that, those whose time is over make room, or else all do.
const MOST: usize = 10_000;

/// A token that is refused so soon after it was given out is not refused because it has ended.
const FRESH: Duration = Duration::from_secs(60);

/// One credential.
struct Held {
    /// Where it may be sent, and for whom; for everybody where it is nobody's own.
    server: ServerName,
    owner: Option<UserId>,
    bearer: Arc<Bearer>,
    until: Timestamp,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Purse {
    held: Mutex<HashMap<AccountId, Held>>,
    /// Which account calls use.
    chosen: Mutex<HashMap<(ServerName, Holder), AccountId>>,
    /// Which version was given out when.
    renewed: Mutex<HashMap<AccountId, (u64, Timestamp)>>,
    /// One at a time opens or renews an account: whoever comes meanwhile waits and finds it done.
    turns: Mutex<HashMap<AccountId, Weak<Turn<()>>>>,
}

impl Purse {
    /// The credential of an account, while it is good; for its server and its owner alone.
    pub(crate) fn get(
        &self,
        id: &AccountId,
        (server, holder): (&ServerName, &Holder),
        now: Timestamp,
    ) -> Option<Arc<Bearer>> {
        let held = lock(&self.held);
        let found = held
            .get(id)
            .filter(|held| held.until > now && held.server == *server)?;
        let own = match (holder, &found.owner) {
            (Holder::Person(user), Some(owner)) => user == owner,
            (Holder::Gateway, _) | (_, None) => true,
        };
        own.then(|| Arc::clone(&found.bearer))
    }

    /// Keeps a credential that is to be replaced at `due`.
    pub(crate) fn put(
        &self,
        bearer: &Arc<Bearer>,
        (server, owner): (&ServerName, Option<&UserId>),
        due: Timestamp,
        now: Timestamp,
    ) {
        let mut held = lock(&self.held);
        if held.len() >= MOST {
            held.retain(|_, held| held.until > now);
            if held.len() >= MOST {
                held.clear();
            }
        }
        let entry = Held {
            server: server.clone(),
            owner: owner.cloned(),
            bearer: Arc::clone(bearer),
            until: due.min(now.plus(KEPT)),
        };
        held.insert(bearer.account.clone(), entry);
    }

    /// Notes that this version was given out now.
    pub(crate) fn renewed(&self, id: &AccountId, version: u64, now: Timestamp) {
        let mut renewed = lock(&self.renewed);
        if renewed.len() >= MOST {
            renewed.retain(|_, (_, then)| now.since(*then) < FRESH);
        }
        renewed.insert(id.clone(), (version, now));
    }

    /// Whether this version was given out just now.
    pub(crate) fn is_fresh(&self, id: &AccountId, version: u64, now: Timestamp) -> bool {
        let known = lock(&self.renewed).get(id).copied();
        known.is_some_and(|(last, then)| last == version && now.since(then) < FRESH)
    }

    /// Forgets one that is no good.
    pub(crate) fn drop_one(&self, id: &AccountId) {
        lock(&self.held).remove(id);
    }

    /// The account that calls use, if that is known.
    pub(crate) fn chosen(&self, server: &ServerName, holder: &Holder) -> Option<AccountId> {
        lock(&self.chosen).get(&(server.clone(), holder.clone())).cloned()
    }

    /// Remembers it.
    pub(crate) fn choose(&self, server: &ServerName, holder: &Holder, id: &AccountId) {
        let mut chosen = lock(&self.chosen);
        if chosen.len() >= MOST {
            chosen.clear();
        }
        chosen.insert((server.clone(), holder.clone()), id.clone());
    }

    /// Whose turn it is.
    pub(crate) fn turn(&self, id: &AccountId) -> Arc<Turn<()>> {
        let mut turns = lock(&self.turns);
        if let Some(turn) = turns.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        // Who waits holds a strong reference; the others are over.
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::new(()));
        turns.insert(id.clone(), Arc::downgrade(&turn));
        turn
    }

    /// Forgets everything but who waits.
    pub(crate) fn clear(&self) {
        lock(&self.held).clear();
        lock(&self.chosen).clear();
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::Secret;

    use super::*;

    fn bearer(id: &str) -> Arc<Bearer> {
        Arc::new(Bearer {
            account: AccountId::new(id),
            version: 1,
            header: Secret::from("Bearer t"),
        })
    }

    fn here() -> ServerName {
        ServerName::parse("docs").expect("a name")
    }

    fn person(id: &str) -> Holder {
        Holder::Person(UserId::new(id))
    }

    #[test]
    fn a_credential_is_kept_until_it_is_due_and_five_minutes_at_most() {
        let purse = Purse::default();
        let at = Timestamp::from_secs;
        let ada = UserId::new("ada");
        purse.put(&bearer("a"), (&here(), Some(&ada)), at(100), at(0));
        purse.put(&bearer("b"), (&here(), Some(&ada)), at(100_000), at(0));
        let (a, b) = (AccountId::new("a"), AccountId::new("b"));
        let has = |id: &AccountId, then: i64| purse.get(id, (&here(), &person("ada")), at(then)).is_some();
        assert!(has(&a, 99) && !has(&a, 100));
        assert!(has(&b, 299) && !has(&b, 300));
        purse.drop_one(&b);
        assert!(!has(&b, 1));
        purse.clear();
        assert!(!has(&a, 1));
    }

    #[test]
    fn uc_07_a_credential_is_for_its_owner_and_its_server_alone() {
        let purse = Purse::default();
        let at = Timestamp::from_secs;
        let other = ServerName::parse("other").expect("a name");
        purse.put(
            &bearer("own"),
            (&here(), Some(&UserId::new("ada"))),
            at(100),
            at(0),
        );
        purse.put(&bearer("all"), (&here(), None), at(100), at(0));
        let gets = |id: &str, server: &ServerName, holder: &Holder| {
            purse.get(&AccountId::new(id), (server, holder), at(1)).is_some()
        };
        assert!(gets("own", &here(), &person("ada")) && gets("own", &here(), &Holder::Gateway));
        assert!(!gets("own", &here(), &person("eve")) && !gets("own", &other, &person("ada")));
        assert!(gets("all", &here(), &person("eve")) && !gets("all", &other, &person("eve")));
    }

    #[test]
    fn credentials_at_the_limit_and_one_past_it() {
        let purse = Purse::default();
        let at = Timestamp::from_secs;
        for n in 0..MOST {
            purse.put(&bearer(&n.to_string()), (&here(), None), at(100), at(0));
        }
        assert_eq!(lock(&purse.held).len(), MOST);
        purse.put(&bearer("more"), (&here(), None), at(100), at(0));
        assert_eq!(lock(&purse.held).len(), 1);
    }
}
