//! The calls that wait for a person's yes. They are kept in memory: with the gateway end the calls, and the same call asks
//! again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_core::approval::{AskPerson, Wanted, Word};
use sallyport_core::random::token;
use sallyport_core::{ClientId, Random, ServerName, Timestamp, UserId};

/// How long a call waits for its answer, and an answer for its call: long enough for a person who is called to the page, too
/// short for one who has forgotten what it was about.
const LIFE: Duration = Duration::from_secs(600);

/// The most calls of one person that wait. A model that asks for more asks for a yes without reading.
const MAX_OF_PERSON: usize = 16;

/// The most calls that wait, of everybody.
const MAX: usize = 4096;

/// The longest arguments that are shown, in bytes. Nobody reads more.
const MAX_ARGUMENTS: usize = 16 << 10;

/// The calls that wait, by the ids of their pages.
pub struct Approvals {
    waiting: Mutex<HashMap<String, Waiting>>,
    random: Arc<dyn Random>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) user: UserId,
    pub(crate) client: ClientId,
    pub(crate) endpoint: String,
    pub(crate) server: ServerName,
    pub(crate) tool: String,
    pub(crate) arguments: Vec<u8>,
    pub(crate) answer: Option<bool>,
    until: Timestamp,
}

impl Waiting {
    fn is(&self, wanted: &Wanted<'_>) -> bool {
        self.user == *wanted.user
            && self.client == *wanted.client
            && self.endpoint == wanted.endpoint
            && self.server == *wanted.server
            && self.tool == wanted.tool
            && self.arguments == wanted.arguments
    }
}

impl Approvals {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self {
            waiting: Mutex::default(),
            random,
        }
    }

    /// The call that waits at a page for this person; an answered one does not wait.
    pub(crate) fn find(&self, id: &str, user: &UserId, now: Timestamp) -> Option<Waiting> {
        let waiting = self.alive(now);
        let found = waiting.get(id)?;
        (found.user == *user && found.answer.is_none()).then(|| found.clone())
    }

    /// Keeps the person's answer; `false` if nothing waits for it any more. It counts for ten minutes.
    pub(crate) fn answer(&self, id: &str, user: &UserId, yes: bool, now: Timestamp) -> bool {
        let mut waiting = self.alive(now);
        let open = waiting
            .get_mut(id)
            .filter(|found| found.user == *user && found.answer.is_none());
        let Some(found) = open else { return false };
        found.answer = Some(yes);
        found.until = now.plus(LIFE);
        true
    }

    fn alive(&self, now: Timestamp) -> MutexGuard<'_, HashMap<String, Waiting>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, one| now < one.until);
        waiting
    }
}

impl AskPerson for Approvals {
    fn ask(&self, wanted: Wanted<'_>, now: Timestamp) -> Word {
        let mut waiting = self.alive(now);
        let known = waiting.iter().find(|(_, one)| one.is(&wanted));
        if let Some((id, answer)) = known.map(|(id, one)| (id.clone(), one.answer)) {
            let Some(yes) = answer else { return Word::Ask(id) };
            waiting.remove(&id);
            return if yes { Word::Yes } else { Word::No };
        }
        let of_person = waiting.values().filter(|one| one.user == *wanted.user).count();
        if of_person >= MAX_OF_PERSON || waiting.len() >= MAX || wanted.arguments.len() > MAX_ARGUMENTS {
            return Word::Impossible;
        }
        let id = token::<16>(&*self.random);
        let one = Waiting {
            user: wanted.user.clone(),
            client: wanted.client.clone(),
            endpoint: wanted.endpoint.to_owned(),
            server: wanted.server.clone(),
            tool: wanted.tool.to_owned(),
            arguments: wanted.arguments.to_vec(),
            answer: None,
            until: now.plus(LIFE),
        };
        waiting.insert(id.clone(), one);
        Word::Ask(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Never the same twice.
    #[derive(Default)]
    struct Counting(AtomicU8);

    impl Random for Counting {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    struct Call {
        user: UserId,
        client: ClientId,
        server: ServerName,
    }

    impl Call {
        fn of(user: &str) -> Self {
            Self {
                user: UserId::new(user),
                client: ClientId::new("app"),
                server: ServerName::parse("files").expect("a name"),
            }
        }

        fn with<'a>(&'a self, tool: &'a str, arguments: &'a [u8]) -> Wanted<'a> {
            Wanted {
                user: &self.user,
                client: &self.client,
                endpoint: "profile/default",
                server: &self.server,
                tool,
                arguments,
            }
        }
    }

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn approvals() -> Approvals {
        Approvals::new(Arc::new(Counting::default()))
    }

    fn asked(word: Word) -> String {
        match word {
            Word::Ask(id) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_yes_counts_once_for_exactly_what_was_shown() {
        let approvals = approvals();
        let (ada, eve) = (Call::of("ada"), Call::of("eve"));
        let id = asked(approvals.ask(ada.with("delete", b"{\"a\":1}"), NOW));
        assert_eq!(asked(approvals.ask(ada.with("delete", b"{\"a\":1}"), NOW)), id);
        assert!(approvals.find(&id, &eve.user, NOW).is_none());
        assert!(!approvals.answer(&id, &eve.user, true, NOW));
        assert!(approvals.answer(&id, &ada.user, true, NOW));
        assert!(!approvals.answer(&id, &ada.user, false, NOW), "answered");
        let elsewhere = Wanted {
            endpoint: "profile/other",
            ..ada.with("delete", b"{\"a\":1}")
        };
        for other in [
            ada.with("delete", b"{\"a\":2}"),
            ada.with("delete", b"{\"a\": 1}"),
            ada.with("drop", b"{\"a\":1}"),
            eve.with("delete", b"{\"a\":1}"),
            elsewhere,
        ] {
            assert_ne!(asked(approvals.ask(other, NOW)), id);
        }
        assert_eq!(approvals.ask(ada.with("delete", b"{\"a\":1}"), NOW), Word::Yes);
        assert_ne!(asked(approvals.ask(ada.with("delete", b"{\"a\":1}"), NOW)), id);
    }

    #[test]
    fn a_no_is_told_once_and_both_end_after_ten_minutes() {
        let approvals = approvals();
        let ada = Call::of("ada");
        let call = ada.with("delete", b"{}");
        let id = asked(approvals.ask(call, NOW));
        assert!(approvals.answer(&id, &ada.user, false, NOW));
        assert_eq!(approvals.ask(call, NOW), Word::No);
        let id = asked(approvals.ask(call, NOW));
        let (at, past) = (NOW.plus(LIFE - Duration::from_millis(1)), NOW.plus(LIFE));
        assert!(approvals.find(&id, &ada.user, at).is_some());
        assert!(!approvals.answer(&id, &ada.user, true, past));
        let id = asked(approvals.ask(call, past));
        assert!(approvals.answer(&id, &ada.user, true, past));
        assert_ne!(asked(approvals.ask(call, past.plus(LIFE))), id, "a yes of before");
    }

    #[test]
    fn what_waits_at_the_limits_and_past_them() {
        let approvals = approvals();
        let ada = Call::of("ada");
        let long = vec![b'x'; MAX_ARGUMENTS + 1];
        assert_eq!(approvals.ask(ada.with("t", &long), NOW), Word::Impossible);
        asked(approvals.ask(ada.with("t", long.get(1..).unwrap_or_default()), NOW));
        for n in 1..MAX_OF_PERSON {
            asked(approvals.ask(ada.with(&n.to_string(), b"{}"), NOW));
        }
        assert_eq!(approvals.ask(ada.with("t", b"{}"), NOW), Word::Impossible);
        let eve = Call::of("eve");
        asked(approvals.ask(eve.with("t", b"{}"), NOW));
        asked(approvals.ask(ada.with("t", b"{}"), NOW.plus(LIFE)));
    }
}
