//! One log-in, from the first 401 to the first call.

use std::net::IpAddr;

use sallyport_core::{GrantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shape::{Agent, Fingerprint};
use super::step::{Keys, Named, Sighting, Step};

/// The most steps of one log-in; of those beyond, the ones in the middle go.
pub const MAX_STEPS: usize = 48;
/// How many of the first steps stay whatever follows.
const FIRST_STEPS: usize = 8;
/// The most values of one kind that a log-in is known by.
const MAX_KEYS: usize = 8;

/// A step of a log-in. The same one several times in a row is one entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When it was seen first.
    pub at: Timestamp,
    /// Who sent it, by its place in [`Trace::senders`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<usize>,
    /// How often.
    pub times: u32,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// Somebody who took part: the client, or the person's browser.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sender {
    /// The address.
    pub peer: IpAddr,
    /// The program.
    pub agent: Agent,
}

/// One log-in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// Its id, for people to name it.
    pub id: String,
    /// When its first step was seen.
    pub begun: Timestamp,
    /// When its last step was seen.
    pub seen: Timestamp,
    /// The client, once it is known.
    pub client: Option<Named>,
    /// Who took part.
    pub senders: Vec<Sender>,
    /// What was seen.
    pub steps: Vec<Entry>,
    /// How many steps were left out.
    pub left_out: u32,
    pub(super) clients: Vec<Fingerprint>,
    pub(super) requests: Vec<Fingerprint>,
    pub(super) grants: Vec<GrantId>,
}

impl Trace {
    pub(super) fn begin(id: String, now: Timestamp) -> Self {
        Self {
            id,
            begun: now,
            seen: now,
            client: None,
            senders: Vec::new(),
            steps: Vec::new(),
            left_out: 0,
            clients: Vec::new(),
            requests: Vec::new(),
            grants: Vec::new(),
        }
    }

    /// Adds a step.
    pub(super) fn add(&mut self, sighting: Sighting) {
        let Sighting { at, keys, step } = sighting;
        self.seen = self.seen.max(at);
        let sender = self.learn(keys);
        if let Some(last) = self.steps.last_mut()
            && last.step == step
            && last.sender == sender
        {
            last.times = last.times.saturating_add(1);
            return;
        }
        if self.steps.len() >= MAX_STEPS {
            self.steps.remove(FIRST_STEPS);
            self.left_out = self.left_out.saturating_add(1);
        }
        self.steps.push(Entry {
            at,
            sender,
            times: 1,
            step,
        });
    }

    fn learn(&mut self, keys: Keys) -> Option<usize> {
        if keys.named.is_some() {
            self.client = keys.named;
        }
        keep(&mut self.clients, keys.client);
        keep(&mut self.requests, keys.request);
        keep(&mut self.grants, keys.grant);
        let (peer, agent) = keys.sender?;
        let sender = Sender { peer, agent };
        keep(&mut self.senders, Some(sender.clone()));
        self.senders.iter().position(|known| *known == sender)
    }

    /// Takes the steps of another one that turned out to be the begin of this.
    pub(super) fn absorb(&mut self, other: Self) {
        let offset: Vec<Option<usize>> = other
            .senders
            .iter()
            .map(|sender| {
                keep(&mut self.senders, Some(sender.clone()));
                self.senders.iter().position(|known| known == sender)
            })
            .collect();
        let steps = other.steps.into_iter().map(|entry| Entry {
            sender: entry.sender.and_then(|at| offset.get(at).copied().flatten()),
            ..entry
        });
        let mut all: Vec<Entry> = steps.chain(std::mem::take(&mut self.steps)).collect();
        all.sort_by_key(|entry| entry.at);
        while all.len() > MAX_STEPS {
            all.remove(FIRST_STEPS);
            self.left_out = self.left_out.saturating_add(1);
        }
        self.steps = all;
        self.begun = self.begun.min(other.begun);
    }

    /// The last step.
    #[must_use]
    pub fn last(&self) -> Option<&Step> {
        self.steps.last().map(|entry| &entry.step)
    }

    /// Whether a step like this was seen.
    #[must_use]
    pub fn has(&self, is: impl Fn(&Step) -> bool) -> bool {
        self.steps.iter().any(|entry| is(&entry.step))
    }

    /// Whether the client ever used its token.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.has(|step| *step == Step::Used)
    }

    /// Whether the person has said yes and the client has not come for its tokens.
    pub(super) fn awaits_tokens(&self) -> bool {
        self.has(|step| matches!(step, Step::Allowed { .. }))
            && !self.has(|step| matches!(step, Step::Issued { .. }))
    }

    /// Whether it came to its end, good or bad: what follows from the same sender begins another one.
    pub(super) fn is_over(&self) -> bool {
        self.is_connected() || matches!(self.last(), Some(Step::Refused(_)))
    }

    /// Whether it has come further than looking around: only then is there a client to speak of.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Whether nothing happened but that a client renewed its tokens.
    pub(super) fn is_renewal(&self) -> bool {
        self.has(|step| *step == Step::Renewed)
            && !self.has(|step| matches!(step, Step::Asked { .. } | Step::Refused(_) | Step::Issued { .. }))
    }

    pub(super) fn knows(&self, peer: IpAddr) -> bool {
        self.senders.iter().any(|sender| sender.peer == peer)
    }

    pub(super) fn has_sender(&self, peer: IpAddr, agent: &Agent) -> bool {
        self.senders
            .iter()
            .any(|sender| sender.peer == peer && sender.agent.is_kin(agent))
    }
}

fn keep<T: PartialEq>(all: &mut Vec<T>, one: Option<T>) {
    if let Some(one) = one
        && !all.contains(&one)
        && all.len() < MAX_KEYS
    {
        all.push(one);
    }
}
