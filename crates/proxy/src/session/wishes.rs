//! What a client has asked for in a legacy session that lasts: the log level, and the resources that it follows. It outlives
//! the process as the session does.

use std::sync::Arc;

use sallyport_core::capability::{Purpose, SealState};
use sallyport_core::session::KnownSession;
use sallyport_mcp::session::WishesSeal;

use super::Session;
use crate::caller::Caller;
use crate::follow;
use crate::sync::lock;

/// So many bytes of the URIs that a session follows are kept; of more, the client has to ask again after a restart. A
/// hundred URIs of usual length are a tenth of that.
const URIS: usize = 64 * 1024;

/// What is to be kept of a session now, with its wishes if they have changed since they were last asked for here.
pub(crate) fn known(session: &Session, sealer: &dyn SealState) -> KnownSession {
    let mut known = session.known();
    if session.takes_changed_wishes() {
        known.wishes = Some(sealer.seal(Purpose::KeptSession, &binding(session), &wishes(session).encode()));
    }
    known
}

fn wishes(session: &Session) -> WishesSeal {
    let followed = lock(&session.followed)
        .keys()
        .map(|uri| String::from(&**uri))
        .collect();
    WishesSeal {
        level: session.level(),
        followed: fitting(followed),
    }
}

/// As many of them as are kept.
fn fitting(mut uris: Vec<String>) -> Vec<String> {
    uris.sort_unstable();
    let mut room = URIS;
    uris.retain(|uri| {
        let left = room.checked_sub(uri.len());
        room = left.unwrap_or(room);
        left.is_some()
    });
    uris
}

/// Gives a session that has come back what its client wished of it.
pub(crate) fn restore(caller: &Arc<Caller>, session: &Arc<Session>, sealed: &str) {
    let opened = caller
        .proxy
        .sealer
        .open(Purpose::KeptSession, &binding(session), sealed);
    let Some(wishes) = opened.as_deref().and_then(WishesSeal::decode) else {
        tracing::warn!("what a session's client had asked for cannot be read; it has to ask again");
        return;
    };
    if let Some(level) = wishes.level {
        session.set_level(level);
    }
    for uri in wishes.followed {
        follow::resume(caller, session, uri.into());
    }
    session.takes_changed_wishes();
}

fn binding(session: &Session) -> String {
    let id = session.view.session.as_deref().unwrap_or_default();
    format!("wishes {id} {} {}", session.endpoint(), session.view.principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_at_the_limit_and_one_past_it() {
        let uris = |last: usize| vec!["a".repeat(URIS / 2), "b".repeat(last), "c".to_owned()];
        let kept = |last| fitting(uris(last)).iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(kept(URIS / 2 - 1), [URIS / 2, URIS / 2 - 1, 1]);
        assert_eq!(kept(URIS / 2), [URIS / 2, URIS / 2]);
        assert_eq!(kept(URIS / 2 + 1), [URIS / 2, 1], "what still fits");
    }
}
