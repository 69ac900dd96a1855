//! Lists, answered from what was rendered when the world was built.

use std::time::Duration;

use sallyport_core::Level;
use sallyport_core::capability::Purpose;
use sallyport_core::policy::{self, Access, Rules};
use sallyport_mcp::catalogue::ListKind;
use sallyport_mcp::error;
use sallyport_mcp::jsonrpc::{Key, Params};
use sallyport_mcp::merge::Entry;
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_mcp::session::CursorSeal;

use crate::caller::Caller;
use crate::deliver::Said;
use crate::refusal::Refusal;
use crate::world::Shown;

/// How long a cursor is good: an hour. Clients turn pages at once; what was left for longer begins anew.
const CURSOR: Duration = Duration::from_secs(3600);

/// The answer to a list request.
///
/// # Errors
/// Skills where no server has any; a cursor that is not this principal's, of another list, of a list that has changed, or
/// too old (P-70).
pub(super) fn list(
    caller: &Caller,
    id: &[u8],
    kind: ListKind,
    era: Era,
    params: Option<&Params<'_>>,
) -> Result<Said, Refusal> {
    let endpoint = &caller.endpoint;
    if kind == ListKind::Skills && !endpoint.capabilities().has_skills() {
        return Err(Refusal::method(era));
    }
    for server in endpoint.servers() {
        if let Some(upstream) = caller.proxy.upstreams.get(server) {
            upstream.touch_lists();
        }
    }
    let scopes = &caller.principal.scopes;
    // Without a scope for all of them, only what the servers of the others offer is shown; and what no rule hides.
    let shown =
        |entry: &Entry| scopes.allow(entry.server.as_str(), Level::Read) && is_shown(caller, kind, entry);
    let differs = scopes.everywhere().is_none() || hides(&endpoint.rules);
    let shown = differs.then_some(&shown as Shown<'_>);
    let asked = params.and_then(|params| params.get(Key::Cursor));
    let offset = match asked {
        None | Some(b"null") => {
            if let (Some(whole), None) = (endpoint.whole(kind, era), shown) {
                return Ok(Said::result_with(id, whole));
            }
            0
        }
        Some(_) => {
            let cursor = params.and_then(Params::cursor).ok_or_else(invalid)?;
            open(caller, kind, &cursor.value).ok_or_else(invalid)?
        }
    };
    let page = endpoint.page((kind, era), shown, offset, |next| seal(caller, kind, next));
    let page = page.ok_or_else(invalid)?;
    Ok(Said::message(error::result(id, &page)))
}

/// Whether the rules of an endpoint do not show everything to everybody.
fn hides(rules: &Rules) -> bool {
    rules.conditions.as_ref().is_some_and(|rules| rules.hide())
}

/// Whether the rules show an entry of a list to the caller.
pub(super) fn is_shown(caller: &Caller, kind: ListKind, entry: &Entry) -> bool {
    let visible = &*entry.visible;
    let (access, method) = match kind {
        ListKind::Tools => (Access::Tool(visible), Method::ToolsCall),
        ListKind::Prompts => (Access::Prompt(visible), Method::PromptsGet),
        ListKind::Resources => (Access::Resource(visible), Method::ResourcesRead),
        ListKind::Templates => (Access::Template(visible), Method::ResourcesRead),
        ListKind::Skills => (Access::Resource(visible), Method::SkillsGet),
    };
    let kind = (access, method.as_str());
    let rules = &caller.endpoint.rules;
    policy::shows(rules, &caller.principal, kind, &entry.server, &entry.remote)
}

fn invalid() -> Refusal {
    Refusal::params("Invalid cursor")
}

fn seal(caller: &Caller, kind: ListKind, offset: usize) -> String {
    let seal = CursorSeal {
        endpoint: caller.endpoint.key.to_string(),
        kind,
        snapshot: caller.endpoint.fingerprint(kind),
        offset: u32::try_from(offset).unwrap_or(u32::MAX),
        created: caller.proxy.books.clock.now(),
    };
    let sealer = &caller.proxy.sealer;
    sealer.seal(Purpose::Cursor, caller.key.as_str(), &seal.encode())
}

fn open(caller: &Caller, kind: ListKind, cursor: &str) -> Option<usize> {
    let sealer = &caller.proxy.sealer;
    let plain = sealer.open(Purpose::Cursor, caller.key.as_str(), cursor)?;
    let seal = CursorSeal::decode(&plain)?;
    let fits = seal.endpoint == *caller.endpoint.key
        && seal.kind == kind
        && seal.snapshot == caller.endpoint.fingerprint(kind)
        && caller.proxy.books.clock.now().since(seal.created) <= CURSOR;
    fits.then_some(usize::try_from(seal.offset).unwrap_or(usize::MAX))
}
