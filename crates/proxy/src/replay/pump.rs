//! From a running call into its log. It runs by itself: a legacy client that leaves its stream has not cancelled
//! (P-78).

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::log::Log;
use crate::caller::Caller;
use crate::relay::{Out, Outgoing};
use crate::session::Session;

/// Writes down all that is said until the end.
pub(crate) async fn pump(caller: Arc<Caller>, session: Arc<Session>, log: Arc<Log>, mut outgoing: Outgoing) {
    let limits = caller.limits.replay;
    let account = caller.proxy.usage.account(&caller.key);
    while let Some(out) = outgoing.next().await {
        let (message, is_question) = match out {
            Out::Notification(message) | Out::Last { message, .. } => (message, false),
            Out::Request(message) => (message, true),
        };
        // A question is better heard now on another stream than later on this one.
        if is_question && !log.is_read() && session.ears.outbox.is_open() {
            session.ears.outbox.send(message);
            continue;
        }
        log.room(message.len()).await;
        session.journal.make_room(message.len(), &account, &limits);
        log.push(&message);
    }
    log.finish();
    session.journal.tidy(caller.proxy.books.clock.now(), &limits);
}
