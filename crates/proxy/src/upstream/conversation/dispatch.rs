//! What a server says in a conversation, and whom it concerns.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_mcp::Era;
use sallyport_mcp::jsonrpc::{Envelope, Key, Kind, Limits, MetaKey, is_batch, scan, split_batch};
use sallyport_mcp::method::Method;

use super::calls::number;
use super::reading::Use;
use super::talk::{Asker, Conversation};
use crate::exchange::{Message, ProgressNote};
use crate::upstream::inbox::{Respond, is_of_task, level_of};
use crate::upstream::mailbox::{Delivery, Mailbox};
use crate::upstream::outgoing::{answer, replaced};

impl Conversation {
    /// Takes one message.
    pub(super) fn dispatch(self: &Arc<Self>, line: Bytes) -> Use {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Use::Blank;
        }
        if self.era() == Era::Legacy && is_batch(&line) {
            let Ok(messages) = split_batch(&line, &Limits::SERVER) else {
                return Use::Garbage;
            };
            return messages
                .into_iter()
                .map(|message| self.message(line.slice_ref(message)))
                .max()
                .unwrap_or(Use::Garbage);
        }
        self.message(line)
    }

    fn message(self: &Arc<Self>, bytes: Bytes) -> Use {
        let Ok(envelope) = scan(&bytes, &Limits::SERVER) else {
            return Use::Garbage;
        };
        match envelope.kind {
            Kind::Response => self.response(&envelope),
            Kind::Notification => self.notification(&envelope, &bytes),
            Kind::Request => self.request(&envelope),
        }
    }

    fn response(&self, envelope: &Envelope<'_>) -> Use {
        let numbered = envelope.id.and_then(|span| number(span.of(envelope.bytes)));
        let Some(id) = numbered else {
            return self.foreign();
        };
        let Some(call) = self.calls.take(id) else {
            if self.calls.was_entered(id) {
                self.ground.counters.late_answers.add();
                return Use::Other;
            }
            return self.foreign();
        };
        self.weigh(envelope.error_raw());
        let answer = answer(envelope, &call.terms().id);
        self.give(&call, Message::Terminal(answer));
        Use::Call
    }

    fn notification(self: &Arc<Self>, envelope: &Envelope<'_>, bytes: &Bytes) -> Use {
        let subscription = envelope
            .meta()
            .and_then(|meta| meta.get(MetaKey::SubscriptionId))
            .and_then(number);
        if let Some(id) = subscription {
            let Some(call) = self.calls.get(id) else {
                self.ground.counters.late_answers.add();
                return Use::Other;
            };
            return self.give_or_cut(id, &call, Message::Notification(bytes.clone()));
        }
        match envelope.called() {
            Method::Progress => self.progress(envelope, bytes),
            Method::LogMessage => self.log_message(envelope, bytes),
            _ if self.era() == Era::Modern => self.foreign(),
            _ => {
                self.inbox.notification(envelope, bytes);
                Use::Other
            }
        }
    }

    fn progress(self: &Arc<Self>, envelope: &Envelope<'_>, bytes: &Bytes) -> Use {
        let found = envelope.params.as_ref().and_then(|params| {
            let span = params.span_of(Key::ProgressToken)?;
            let id = number(span.of(envelope.bytes))?;
            let call = self.calls.get(id)?;
            let bytes = replaced(envelope.bytes, span, call.terms().token.as_ref()?);
            Some((id, call, bytes))
        });
        match found {
            Some((id, call, bytes)) => {
                self.give_or_cut(id, &call, Message::Progress(vec![ProgressNote::read(bytes)]))
            }
            None if self.era() == Era::Legacy && is_of_task(envelope) => {
                self.inbox.notification(envelope, bytes);
                Use::Other
            }
            None => self.foreign(),
        }
    }

    /// A log message names no request: it is about the one that runs, if it is one, else about the session.
    fn log_message(self: &Arc<Self>, envelope: &Envelope<'_>, bytes: &Bytes) -> Use {
        match self.calls.sole() {
            Some((id, call)) if call.terms().logs.take(level_of(envelope)) => {
                self.give_or_cut(id, &call, Message::Notification(bytes.clone()))
            }
            Some(_) => Use::Other,
            None if self.era() == Era::Legacy => {
                self.inbox.notification(envelope, bytes);
                Use::Other
            }
            None => Use::Other,
        }
    }

    /// Gives a call that goes on a message. It is cut if its client does not read.
    fn give_or_cut(self: &Arc<Self>, id: u64, call: &Mailbox, message: Message) -> Use {
        if self.give(call, message) == Delivery::Overfull {
            self.cut(id, call);
        }
        Use::Call
    }

    /// Gives a call a message; its porter wakes it when all that was read with it has been given.
    fn give(&self, call: &Mailbox, message: Message) -> Delivery {
        let leave = |porter, waiting| self.porters.leave(porter, waiting);
        call.deliver_by(message, leave)
    }

    fn cut(self: &Arc<Self>, id: u64, call: &Mailbox) {
        self.ground.counters.slow_readers.add();
        call.fail(sallyport_core::fault::Fault::new(
            sallyport_core::fault::Blame::Client,
            sallyport_core::fault::Retry::Never,
            "relay the answer",
            "the client does not read what it asked for",
        ));
        self.abandon(id, "the client does not read");
    }

    /// Modern servers ask nothing (2026-07-28, Multi Round-Trip Requests).
    fn request(self: &Arc<Self>, envelope: &Envelope<'_>) -> Use {
        if self.era() == Era::Modern {
            return self.foreign();
        }
        let sole = self.calls.sole().map(|(_, call)| call);
        let to: Arc<dyn Respond> = Arc::new(Asker(Arc::clone(self)));
        self.inbox.request(envelope, sole.as_ref(), &to);
        if sole.is_some() { Use::Call } else { Use::Other }
    }

    fn foreign(&self) -> Use {
        self.ground.counters.foreign_messages.add();
        Use::Other
    }
}
