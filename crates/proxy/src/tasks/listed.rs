//! `tasks/list` (2025-11-25): the principal's own tasks at the endpoint, of all its servers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sallyport_core::capability::Purpose;
use sallyport_mcp::error::INVALID_PARAMS;
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Key, Params};
use sallyport_mcp::revision::Era;
use tokio::time::timeout;

use super::table::Kept;
use super::{Subject, legacy};
use crate::caller::{Caller, Client};
use crate::refusal::Refusal;
use crate::route::TaskOp;
use crate::session::Session;
use crate::translate;

/// Tasks on one page: each that runs is looked at for it.
const PAGE: usize = 50;

/// How long a server may take to tell a task's state before what was last seen is shown.
const PATIENCE: Duration = Duration::from_secs(5);

/// The raw result. A task that its server has forgotten is left out.
///
/// # Errors
/// A cursor that was not given to this principal here (P-70).
pub(crate) async fn list(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    params: Option<&Params<'_>>,
) -> Result<Bytes, Refusal> {
    let all = caller.proxy.tasks.of(&caller.key, &caller.endpoint.key);
    let own: Vec<_> = all
        .into_iter()
        .filter(|kept| kept.task.era == Era::Legacy)
        .collect();
    let asked = params.and_then(|params| params.get(Key::Cursor));
    let start = match asked {
        None | Some(b"null") => 0,
        Some(_) => {
            let cursor = params.and_then(Params::cursor).ok_or_else(invalid)?;
            let last = open(caller, &cursor.value).ok_or_else(invalid)?;
            // The page goes on after the task that was the last one, or where it was.
            own.iter()
                .position(|kept| *kept.id == *last)
                .map_or(own.len(), |place| place + 1)
        }
    };
    let rest = own.get(start..).unwrap_or_default();
    let page = rest.get(..PAGE).unwrap_or(rest);
    let client = Client::Legacy(Arc::clone(session));
    let states = join_all(page.iter().map(|kept| state(caller, &client, kept))).await;
    let states: Vec<_> = states.into_iter().flatten().collect();
    let mut out = br#"{"tasks":["#.to_vec();
    out.extend_from_slice(&states.join(&b','));
    out.push(b']');
    if let (Some(last), true) = (page.last(), page.len() < rest.len()) {
        out.extend_from_slice(br#","nextCursor":"#);
        out.extend_from_slice(&json::quote(&seal(caller, &last.id)));
    }
    out.push(b'}');
    Ok(out.into())
}

/// The state of a task now; what was last seen where its server does not tell. `None` if there is no such task any more.
async fn state(caller: &Arc<Caller>, client: &Client, kept: &Kept) -> Option<Bytes> {
    let seen = kept.seen();
    if seen.ended {
        return Some(seen.state);
    }
    // A tool that may not be used any more has no tasks.
    let subject = Subject::find(caller, client, &kept.id).ok()?;
    let asked = timeout(PATIENCE, subject.ask(TaskOp::Get, subject.params(&[]))).await;
    let Ok(Ok(message)) = asked else {
        return Some(seen.state);
    };
    match json::find(&message, "result") {
        Some(result) => Some(legacy::shown(&subject, result).into()),
        None if translate::error_of(&message) == Some(INVALID_PARAMS.to_string().as_bytes()) => {
            caller.proxy.tasks.forget(kept);
            None
        }
        None => Some(seen.state),
    }
}

fn invalid() -> Refusal {
    Refusal::params("Invalid cursor")
}

fn binding(caller: &Caller) -> String {
    format!("tasks {} {}", caller.endpoint.key, caller.key)
}

fn seal(caller: &Caller, last: &str) -> String {
    let sealer = &caller.proxy.sealer;
    sealer.seal(Purpose::Cursor, &binding(caller), last.as_bytes())
}

fn open(caller: &Caller, cursor: &str) -> Option<String> {
    let sealer = &caller.proxy.sealer;
    let plain = sealer.open(Purpose::Cursor, &binding(caller), cursor)?;
    String::from_utf8(plain).ok()
}
