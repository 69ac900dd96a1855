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
    let account = &caller.account;
    while let Some(out) = outgoing.next().await {
        let messages = match out {
            // A question is better heard now on another stream than later on this one.
            Out::Request(message) if !log.is_read() && session.ears.outbox.is_open() => {
                session.ears.outbox.send(message);
                continue;
            }
            out => out.into_messages().await,
        };
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let (count, bytes) = log.together(rest);
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            log.room(count, bytes).await;
            session.journal.make_room(bytes, account, &limits);
            log.push_all(now);
            rest = later;
        }
    }
    log.finish();
    session.journal.crop(&limits);
}
