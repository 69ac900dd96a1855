//! The audit record of one call: written when it starts, finished when it ends, also when it is dropped.

use std::ops::Deref;
use std::sync::Arc;

use sallyport_core::audit::{Action, Audit, AuditUnavailable, Entry, Outcome};
use sallyport_core::{Clock, ServerName, SmolStr, Timestamp};

use crate::caller::Caller;
use crate::metrics::{Ended, Metrics};

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

/// What is done to what, at which server.
pub(crate) struct Subject {
    pub(crate) action: Action,
    pub(crate) server: ServerName,
    pub(crate) target: SmolStr,
}

/// An open record. Dropped without [`Record::close`], it says that the caller left.
pub(crate) struct Record {
    caller: Arc<Caller>,
    since: Timestamp,
    /// `None` for what is counted but not recorded, and once closed.
    subject: Option<Subject>,
    open: bool,
}

impl Record {
    /// Writes the start of a call.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: then the call must not be made (AL-04, AL-05).
    pub(crate) fn open(caller: &Arc<Caller>, subject: Option<Subject>) -> Result<Self, AuditUnavailable> {
        let since = caller.proxy.books.clock.now();
        if let Some(subject) = &subject {
            write(caller, subject, since, Outcome::Started, None)?;
        }
        Ok(Self {
            since,
            caller: Arc::clone(caller),
            subject,
            open: true,
        })
    }

    /// Writes the end of it.
    pub(crate) fn close(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let books = &self.caller.proxy.books;
        let now = books.clock.now();
        let took = now.since(self.since);
        let ended = match outcome {
            Outcome::Ok | Outcome::Started => Ended::Ok,
            Outcome::Denied => Ended::Refused,
            Outcome::Failed => Ended::Error,
            Outcome::Cancelled => Ended::Cancelled,
        };
        books.metrics.call(self.caller.worker.index(), ended, took);
        let Some(subject) = self.subject.take() else {
            return;
        };
        if write(&self.caller, &subject, now, outcome, reason).is_err() {
            tracing::error!("the end of a call could not be recorded: the audit trail cannot be written");
        }
    }
}

fn write(
    caller: &Caller,
    subject: &Subject,
    at: Timestamp,
    outcome: Outcome,
    reason: Option<&str>,
) -> Result<(), AuditUnavailable> {
    caller.proxy.books.audit.enter(&Entry {
        server: Some(&subject.server),
        target: Some(&subject.target),
        reason,
        at: Some(at),
        ..caller.entry(subject.action, outcome)
    })
}

impl Drop for Record {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled, None);
    }
}
