//! A modern client on a legacy server that asks: the running call is parked, the client gets `input_required`, and its
//! next request goes on with the same call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sallyport_core::audit::Outcome;
use sallyport_core::{PrincipalKey, Random, ServerName, Timestamp};
use sallyport_mcp::answer::{self, InputResponse};
use sallyport_mcp::error;
use sallyport_mcp::session::Resume;

use crate::call::Call;
use crate::exchange::{Answered, Question};
use crate::limits::{Kind, Slot};
use crate::metrics::Gauge;
use crate::refusal::Refusal;
use crate::relay::{Label, MAX_ROUNDS, Out, Relay, Step};
use crate::state;
use crate::sync::lock;

/// The parked calls of this process.
pub(crate) struct Lot {
    /// Tells this process from those before and beside it.
    process: [u8; 16],
    next: AtomicU64,
    parked: Mutex<HashMap<u64, Parked>>,
}

struct Parked {
    relay: Box<Relay>,
    /// The questions by the keys that the client knows.
    open: Vec<(String, Question)>,
    until: Timestamp,
    /// Its place among those of its principal.
    slot: Slot,
}

impl Parked {
    /// Drops it, which cancels the call at the server; its questions get no answer.
    fn give_up(mut self, reason: &'static str) {
        let call = &mut self.relay.call;
        call.caller.proxy.books.metrics.gauge(&Gauge::Parked, -1);
        call.record.close(Outcome::Failed, Some(reason));
    }
}

impl Lot {
    pub(crate) fn new(random: &dyn Random) -> Self {
        let mut process = [0; 16];
        random.fill(&mut process);
        Self {
            process,
            next: AtomicU64::new(1),
            parked: Mutex::default(),
        }
    }

    /// Gives up on calls whose client did not come back.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let late = self.take_where(|parked| parked.until <= now);
        late.into_iter()
            .for_each(|parked| parked.give_up("the client did not answer in time"));
    }

    /// Lets at most `most` calls of this principal stay, those at `server` only where one is named: the newest. Clients
    /// that will not answer do not say so; what they left must not keep them from asking anew.
    fn make_room(&self, owner: &PrincipalKey, server: Option<&ServerName>, most: usize) {
        let counts = |parked: &Parked| {
            let call = &parked.relay.call;
            call.caller.key == *owner && server.is_none_or(|server| call.route.server == *server)
        };
        let mut own: Vec<u64> = {
            let parked = lock(&self.parked);
            let own = parked.iter().filter(|(_, parked)| counts(parked));
            own.map(|(number, _)| *number).collect()
        };
        own.sort_unstable();
        own.truncate(own.len().saturating_sub(most));
        for number in own {
            let oldest = lock(&self.parked).remove(&number);
            if let Some(oldest) = oldest {
                oldest.give_up("it made room for a newer call");
            }
        }
    }

    fn take_where(&self, fits: impl Fn(&Parked) -> bool) -> Vec<Parked> {
        let mut parked = lock(&self.parked);
        let over = parked.extract_if(|_, parked| fits(parked));
        over.map(|(_, parked)| parked).collect()
    }

    fn take(&self, resume: &Resume) -> Option<Parked> {
        let Resume::Parked { process, call } = resume else {
            return None;
        };
        if *process != self.process {
            return None;
        }
        lock(&self.parked).remove(call)
    }
}

/// Parks a call with the questions that have been gathered: the client hears what is asked and with which state to come
/// back. The end of its stream is not a cancel.
pub(crate) fn park(mut relay: Box<Relay>) -> Step {
    relay.rounds = relay.rounds.saturating_add(1);
    if relay.rounds > MAX_ROUNDS {
        let refusal = Refusal::new(200, error::INTERNAL_ERROR, "The server asks without end");
        return (relay.refuse(&refusal), None);
    }
    let questions = relay.take_gathered();
    let named = questions.into_iter().enumerate();
    let open = named
        .map(|(n, question)| (format!("k{}", n + 1), question))
        .collect();
    wait(relay, open)
}

fn wait(mut relay: Box<Relay>, open: Vec<(String, Question)>) -> Step {
    let caller = Arc::clone(&relay.call.caller);
    let lot = &caller.proxy.lot;
    let limit = caller.limits.parked_per_principal;
    // Of the conversations that are leased to one call each, one stays free.
    if let Some(lanes) = relay.call.lanes {
        let server = &relay.call.route.server;
        lot.make_room(&caller.key, Some(server), lanes.saturating_sub(2));
    }
    lot.make_room(&caller.key, None, limit.saturating_sub(1));
    let Some(slot) = caller.proxy.usage.take(&caller.key, Kind::Parked, limit) else {
        return (relay.refuse(&Refusal::too_many("waiting calls")), None);
    };
    let number = lot.next.fetch_add(1, Ordering::Relaxed);
    let resume = Resume::Parked {
        process: lot.process,
        call: number,
    };
    let state = state::seal(&relay.call, resume);
    let asks: Vec<_> = open
        .iter()
        .map(|(key, q)| {
            (
                key.as_str(),
                &*q.method,
                Some(q.params.as_deref().unwrap_or(b"{}")),
            )
        })
        .collect();
    let result = answer::input_required_result(&asks, Some(&state));
    let message = error::result(relay.waiting_for(), &result);
    relay.call.slot = None;
    let parked = Parked {
        relay,
        open,
        until: caller.proxy.books.clock.now().plus(caller.limits.parked_for),
        slot,
    };
    lock(&lot.parked).insert(number, parked);
    caller.proxy.books.metrics.gauge(&Gauge::Parked, 1);
    (Out::Last { status: 200, message }, None)
}

/// What came of a client's return.
pub(crate) enum Resumed {
    /// The call goes on.
    Running(Box<Relay>),
    /// Answers are missing: the client is asked again for the rest.
    Again(Out),
}

/// Takes a parked call up again with the client's answers. `retry` is the request that brought them; its own record
/// ends here, that of the parked call goes on.
///
/// # Errors
/// The call is gone: it was taken up before, given up, or lost with its process.
pub(crate) fn resume(mut retry: Call, resume: &Resume, responses: Option<&[u8]>) -> Result<Resumed, Refusal> {
    let proxy = Arc::clone(&retry.caller.proxy);
    let answers = answer::input_responses(responses.unwrap_or(b"{}"));
    let answers = answers.map_err(|_| unreadable())?;
    let parked = proxy.lot.take(resume).ok_or_else(state::expired)?;
    proxy.books.metrics.gauge(&Gauge::Parked, -1);
    let Parked {
        mut relay,
        open,
        slot,
        ..
    } = parked;
    // It may have to wait again at once.
    drop(slot);
    retry
        .record
        .close(Outcome::Ok, Some("goes on with a call that waited"));
    relay.relabel = Some(Label {
        id: retry.id.clone(),
        progress_token: retry.progress_token.clone(),
    });
    relay.call.slot = retry.slot.take();
    relay.call.caller = Arc::clone(&retry.caller);
    let missing = hand_over(open, &answers);
    if missing.is_empty() {
        return Ok(Resumed::Running(relay));
    }
    let (out, _) = wait(relay, missing);
    Ok(Resumed::Again(out))
}

/// The error for answers that are none.
pub(crate) fn unreadable() -> Refusal {
    Refusal::params("inputResponses must be an object with one answer each")
}

/// Gives each question its answer; the others come back (P-53).
fn hand_over(open: Vec<(String, Question)>, answers: &[InputResponse<'_>]) -> Vec<(String, Question)> {
    let mut missing = Vec::new();
    for (key, question) in open {
        match answers.iter().find(|answer| answer.key == key) {
            Some(answer) => {
                let answered = Answered::Result(Bytes::copy_from_slice(answer.result));
                // A server that has gone meanwhile shows when the call goes on.
                let _ = question.answer.send(answered);
            }
            None => missing.push((key, question)),
        }
    }
    missing
}
