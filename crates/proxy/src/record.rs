//! The audit record of one call: written when it starts, finished when it ends, also when it is dropped.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use sallyport_core::audit::{Action, Audit, AuditUnavailable, Event, Outcome};
use sallyport_core::{Clock, Principal, ProfileSlug, RequestId, ServerName, Timestamp};

use crate::metrics::{Ended, Metrics};

/// What every record of one request has in common.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) profile: Option<&'a ProfileSlug>,
    pub(crate) request: &'a RequestId,
    pub(crate) peer: IpAddr,
}

impl Origin<'_> {
    /// An event of this request.
    pub(crate) fn event(&self, action: Action, outcome: Outcome) -> Event {
        let mut event = Event::new(action, outcome).by(self.principal);
        event.profile = self.profile.cloned();
        event.request = Some(*self.request);
        event.peer = Some(self.peer);
        event
    }
}

/// Where records and counts go: one thing to share, because every call takes hold of it.
#[derive(Clone)]
pub(crate) struct Books(Arc<Kept>);

/// What [`Books`] hold.
pub(crate) struct Kept {
    pub(crate) audit: Arc<dyn Audit>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Books {
    pub(crate) fn new(audit: Arc<dyn Audit>, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Kept {
            audit,
            metrics,
            clock,
        }))
    }
}

impl Deref for Books {
    type Target = Kept;

    fn deref(&self) -> &Kept {
        &self.0
    }
}

/// An open record. Dropped without [`Record::close`], it says that the caller left.
pub(crate) struct Record {
    books: Books,
    worker: usize,
    since: Timestamp,
    /// `None` for what is counted but not recorded, and once closed.
    event: Option<Event>,
    open: bool,
}

impl Record {
    /// Writes the start of a call.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: then the call must not be made (AL-04, AL-05).
    pub(crate) fn open(books: &Books, worker: usize, event: Option<Event>) -> Result<Self, AuditUnavailable> {
        if let Some(event) = &event {
            books.audit.record(event)?;
        }
        Ok(Self {
            books: books.clone(),
            worker,
            since: books.clock.now(),
            event,
            open: true,
        })
    }

    /// Writes the end of it.
    pub(crate) fn close(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let took = self.books.clock.now().since(self.since);
        let ended = match outcome {
            Outcome::Ok | Outcome::Started => Ended::Ok,
            Outcome::Denied => Ended::Refused,
            Outcome::Failed => Ended::Error,
            Outcome::Cancelled => Ended::Cancelled,
        };
        self.books.metrics.call(self.worker, ended, took);
        let Some(mut event) = self.event.take() else {
            return;
        };
        event.outcome = outcome;
        if let Some(reason) = reason {
            event = event.because(reason);
        }
        if self.books.audit.record(&event).is_err() {
            tracing::error!("the end of a call could not be recorded: the audit trail cannot be written");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled, None);
    }
}

/// With the server that the event is about.
pub(crate) fn at(mut event: Event, server: &ServerName) -> Event {
    event.server = Some(server.clone());
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::{Trail, books};

    fn event() -> Event {
        Event::new(Action::ToolCall, Outcome::Started).on("echo")
    }

    #[test]
    fn a_call_has_a_start_and_one_end() {
        let trail = Arc::new(Trail::default());
        let books = books(&trail);
        let mut record = Record::open(&books, 0, Some(event())).expect("a working trail");
        record.close(Outcome::Ok, None);
        record.close(Outcome::Failed, None);
        drop(record);
        assert_eq!(trail.outcomes(), [Outcome::Started, Outcome::Ok]);
    }

    #[test]
    fn a_dropped_call_is_recorded_as_left() {
        let trail = Arc::new(Trail::default());
        let books = books(&trail);
        drop(Record::open(&books, 0, Some(event())));
        assert_eq!(trail.outcomes(), [Outcome::Started, Outcome::Cancelled]);
    }

    #[test]
    fn al_04_without_a_trail_no_call() {
        let trail = Arc::new(Trail::default());
        trail.break_it();
        assert!(Record::open(&books(&trail), 0, Some(event())).is_err());
    }
}
