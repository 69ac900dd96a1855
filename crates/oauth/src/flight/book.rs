//! Which log-in a step belongs to.
//!
//! A client has no cookie, and its person's browser is another program. So a step goes to the log-in that it shares most
//! with, in this order:
//!
//! 1. the grant, or the authorization request (client, redirect URI and PKCE challenge): these are one log-in's own;
//! 2. the client, where its log-in has not asked yet, or the same address is in it: a registration is one installation's,
//!    but a client with a document is everybody's;
//! 3. the sender, address and program, within [`WINDOW`], as long as that log-in has not come to its end;
//! 4. for what a browser opens, the address alone, where a log-in from there waits for its browser.
//!
//! Steps 3 and 4 can be wrong where many people share an address and begin at the same time; they are left as soon as the
//! client is known.

use std::collections::BTreeSet;
use std::time::Duration;

use sallyport_core::Timestamp;

use super::step::{Keys, Point, Sighting, Step};
use super::trace::{Sender, Trace};

/// How long after its last step a log-in is found again by its sender.
pub const WINDOW: Duration = Duration::from_secs(10 * 60);
/// How long after its last step a log-in is found again at all: a person may take that long.
pub const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The most log-ins that are followed at once; those with the oldest last step go first.
pub const MAX_FOLLOWED: usize = 256;

/// The log-ins that are followed.
#[derive(Default)]
pub struct Book {
    traces: Vec<Trace>,
    changed: BTreeSet<String>,
    ended: BTreeSet<String>,
}

/// What has to be kept, and what not any more.
#[derive(Debug, Default)]
pub struct Changes {
    /// Log-ins as they are now.
    pub keep: Vec<Trace>,
    /// The ids of those that turned out to be part of another one, or nothing but a renewal.
    pub drop: Vec<String>,
}

impl Book {
    /// Goes on with log-ins of before.
    #[must_use]
    pub fn resume(traces: Vec<Trace>) -> Self {
        Self {
            traces,
            ..Self::default()
        }
    }

    /// Takes a step down; `id` names a new log-in if there has to be one.
    pub fn see(&mut self, sighting: Sighting, id: impl FnOnce() -> String) {
        let now = sighting.at;
        self.forget(now);
        let at = match self.find(&sighting) {
            Some(at) => at,
            None if !begins(&sighting) => return,
            None => self.begin(id(), now),
        };
        let Some(id) = self.traces.get(at).map(|trace| trace.id.clone()) else {
            return;
        };
        self.join(&id, &sighting);
        let Some(trace) = self.traces.iter_mut().find(|trace| trace.id == id) else {
            return;
        };
        if trace.is_connected() && matches!(sighting.step, Step::Used | Step::Renewed) {
            // Life after the log-in.
            trace.seen = now;
            return;
        }
        trace.add(sighting);
        if trace.is_renewal() {
            self.remove(&id);
        } else if self.is_worth_keeping(&id) {
            self.changed.insert(id);
        }
    }

    /// Clients look around in the middle of their work too; that is no log-in.
    fn is_worth_keeping(&self, id: &str) -> bool {
        let Some(trace) = self.traces.iter().find(|trace| trace.id == id) else {
            return false;
        };
        let is_at_work = |other: &Trace| {
            let shared = |sender: &Sender| trace.has_sender(sender.peer, &sender.agent);
            other.is_connected() && other.senders.iter().any(shared) && trace.begun.since(other.seen) < WINDOW
        };
        trace.is_named() || !self.traces.iter().any(is_at_work)
    }

    /// Forgets a log-in that was none.
    fn remove(&mut self, id: &str) {
        self.traces.retain(|trace| trace.id != id);
        self.changed.remove(id);
        self.ended.insert(id.to_owned());
    }

    /// What has changed since the last time, at most `limit` log-ins.
    pub fn changes(&mut self, limit: usize) -> Changes {
        let ids: Vec<String> = self.changed.iter().take(limit).cloned().collect();
        for id in &ids {
            self.changed.remove(id);
        }
        let keep = self.traces.iter().filter(|trace| ids.contains(&trace.id));
        Changes {
            keep: keep.cloned().collect(),
            drop: std::mem::take(&mut self.ended).into_iter().collect(),
        }
    }

    /// Whether there is something to keep.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty() || !self.ended.is_empty()
    }

    fn forget(&mut self, now: Timestamp) {
        // What has not been kept yet stays for the next time.
        let changed = &self.changed;
        self.traces
            .retain(|trace| now.since(trace.seen) < PATIENCE || changed.contains(&trace.id));
    }

    /// Begins a log-in; where there is no room, the one that was seen the longest ago is followed no more.
    fn begin(&mut self, id: String, now: Timestamp) -> usize {
        if self.traces.len() >= MAX_FOLLOWED {
            let oldest = self.traces.iter().enumerate().min_by_key(|(_, trace)| trace.seen);
            if let Some((at, _)) = oldest {
                let trace = self.traces.remove(at);
                self.changed.remove(&trace.id);
            }
        }
        self.traces.push(Trace::begin(id, now));
        self.traces.len().saturating_sub(1)
    }

    fn find(&self, sighting: &Sighting) -> Option<usize> {
        let Sighting { at: now, keys, step } = sighting;
        let by_grant = |trace: &Trace| {
            keys.grant
                .as_ref()
                .is_some_and(|grant| trace.grants.contains(grant))
        };
        let by_request = |trace: &Trace| {
            keys.request
                .is_some_and(|request| trace.requests.contains(&request))
        };
        // One that waits to be kept is still here after its time.
        let latest =
            |is: &dyn Fn(&Trace) -> bool| self.latest(|trace| now.since(trace.seen) < PATIENCE && is(trace));
        let found = latest(&by_grant).or_else(|| latest(&by_request));
        if found.is_some() || keys.sender.is_none() {
            return found;
        }
        let by_client = |trace: &Trace| is_of_client(trace, keys, step);
        let by_sender = |trace: &Trace| {
            let sender = keys.sender.as_ref();
            let is_sender = sender.is_some_and(|(peer, agent)| trace.has_sender(*peer, agent));
            is_sender && now.since(trace.seen) < WINDOW && accepts(trace, keys, step)
        };
        let by_address = |trace: &Trace| {
            let is_near = keys.sender.as_ref().is_some_and(|(peer, _)| trace.knows(*peer));
            is_near && opens_a_browser(step) && waits_for_a_browser(trace) && now.since(trace.seen) < WINDOW
        };
        latest(&by_client)
            .or_else(|| latest(&by_sender))
            .or_else(|| latest(&by_address))
    }

    fn latest(&self, is: impl Fn(&Trace) -> bool) -> Option<usize> {
        let matching = self.traces.iter().enumerate().filter(|(_, trace)| is(trace));
        matching.max_by_key(|(_, trace)| trace.seen).map(|(at, _)| at)
    }

    /// A program that was seen looking around, and now shows at the token endpoint which log-in that was for.
    fn join(&mut self, id: &str, sighting: &Sighting) {
        let is_token = match &sighting.step {
            Step::Issued { .. } | Step::Renewed => true,
            Step::Refused(refused) => refused.point == Point::Token,
            _ => false,
        };
        let Some((peer, agent)) = sighting.keys.sender.as_ref().filter(|_| is_token) else {
            return;
        };
        let before = self.latest(|trace| {
            trace.id != *id
                && trace.has_sender(*peer, agent)
                && waits_for_a_browser(trace)
                && sighting.at.since(trace.seen) < WINDOW
        });
        let Some(other) = before.and_then(|at| self.traces.get(at)).cloned() else {
            return;
        };
        self.remove(&other.id);
        let trace = self.traces.iter_mut().find(|trace| trace.id == *id);
        if let Some(trace) = trace.filter(|trace| !trace.is_connected()) {
            trace.absorb(other);
        }
    }
}

/// Whether a log-in can begin with this.
fn begins(sighting: &Sighting) -> bool {
    match &sighting.step {
        Step::Used | Step::Renewed | Step::LoginShown | Step::LoggedIn => false,
        // Anybody can come back from a provider where nobody went; it is the end of something, or nothing.
        Step::Refused(refused) if refused.point == Point::Provider => sighting.keys.request.is_some(),
        _ => true,
    }
}

fn opens_a_browser(step: &Step) -> bool {
    match step {
        Step::Asked { .. } | Step::LoginShown => true,
        Step::Refused(refused) => matches!(refused.point, Point::Authorization | Point::Document),
        _ => false,
    }
}

/// Whether a log-in has looked around and sent nobody to a browser yet.
fn waits_for_a_browser(trace: &Trace) -> bool {
    !trace.is_named() && !trace.has(|step| matches!(step, Step::Asked { .. } | Step::Refused(_)))
}

fn is_of_client(trace: &Trace, keys: &Keys, step: &Step) -> bool {
    if !keys.client.is_some_and(|client| trace.clients.contains(&client)) {
        return false;
    }
    let is_near = keys.sender.as_ref().is_some_and(|(peer, _)| trace.knows(*peer));
    match step {
        Step::Registered { .. } => false,
        // Another request of a log-in that has asked already is its second try, if it comes from the same address.
        _ if opens_a_browser(step) => trace.requests.is_empty() || (is_near && !trace.is_over()),
        // At the token endpoint the client's own address may be seen for the first time.
        _ => is_near || trace.awaits_tokens(),
    }
}

/// Whether what the sender does now belongs to the log-in that it was seen in.
fn accepts(trace: &Trace, keys: &Keys, step: &Step) -> bool {
    let is_other = keys
        .client
        .is_some_and(|client| trace.is_named() && !trace.clients.contains(&client));
    match step {
        _ if trace.is_over() => false,
        Step::Challenged { .. } | Step::Discovery { .. } => true,
        // Some register twice before they ask.
        Step::Registered { .. } => trace.requests.is_empty(),
        _ => !is_other,
    }
}
