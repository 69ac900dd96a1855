//! How an endpoint introduces itself: capabilities and instructions of its servers, as one.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::ServerName;
use sallyport_mcp::capabilities::{ResourcesCapability, ServerCapabilities, UI_EXTENSION};
use sallyport_mcp::catalogue::CacheHint;
use sallyport_mcp::merge::Merged;
use sallyport_mcp::render;

use crate::upstream::{ServerState, Status};

/// The longest instructions of an endpoint, in bytes.
const MAX_INSTRUCTIONS: usize = 32 << 10;

/// How an endpoint introduces itself.
pub(super) struct Introduction {
    pub(super) capabilities: ServerCapabilities,
    pub(super) instructions: Option<String>,
    pub(super) server_info: Vec<u8>,
    pub(super) discover: Bytes,
}

/// The introduction of servers together; `unsettled` while some of them are not known yet.
pub(super) fn introduce(states: &[Arc<ServerState>], merged: &Merged, unsettled: bool) -> Introduction {
    let mut capabilities = capabilities(states, unsettled);
    if let Some(settings) = apps(states, merged) {
        capabilities.extensions.insert(UI_EXTENSION.to_owned(), settings);
    }
    let instructions = instructions(states);
    let server_info = render::implementation("sallyport", Some("Sallyport"), env!("CARGO_PKG_VERSION"));
    let discover = render::discover_result(
        &capabilities,
        &server_info,
        instructions.as_deref(),
        CacheHint::NONE,
    );
    Introduction {
        capabilities,
        instructions,
        server_info,
        discover,
    }
}

/// What the servers can do together. A legacy client hears this once and for all, so what a server that is not there
/// yet may bring is promised: a list that stays empty does no harm, one that is never asked for does. The gateway tells
/// of list changes itself, whatever its servers do.
fn capabilities(states: &[Arc<ServerState>], unsettled: bool) -> ServerCapabilities {
    let open = unsettled || states.iter().any(|state| state.status != Status::Ready);
    let mut all = ServerCapabilities::union(states.iter().map(|state| &state.capabilities));
    all.tools = Some(true);
    if open || all.prompts.is_some() {
        all.prompts = Some(true);
    }
    if open || all.resources.is_some() {
        let known = all.resources.unwrap_or_default();
        all.resources = Some(ResourcesCapability {
            subscribe: open || known.subscribe,
            list_changed: true,
        });
    }
    all.completions |= open;
    all.logging |= open;
    all
}

/// The settings of MCP Apps, where apps work: an app calls the tools of its server by the server's names for them, so none
/// of them may have another name here. Servers with different settings are not joined.
fn apps(states: &[Arc<ServerState>], merged: &Merged) -> Option<Bytes> {
    let settings = |state: &Arc<ServerState>| state.capabilities.extensions.get(UI_EXTENSION).cloned();
    let mut all = states.iter().filter_map(settings);
    let first = all.next().filter(|first| all.all(|other| other == *first))?;
    let has_apps = |server: &ServerName| {
        let state = states.iter().find(|state| state.name == *server);
        state.is_some_and(|state| settings(state).is_some())
    };
    let renamed = |tool: &&sallyport_mcp::merge::Entry| tool.visible != tool.remote && has_apps(&tool.server);
    merged.tools.iter().find(renamed).is_none().then_some(first)
}

/// The servers' instructions: of one as they are, of several each under its name.
fn instructions(states: &[Arc<ServerState>]) -> Option<String> {
    let texts: Vec<_> = states
        .iter()
        .filter_map(|state| Some((&state.name, state.instructions.as_deref()?)))
        .collect();
    let mut all = String::new();
    for (name, text) in &texts {
        if states.len() > 1 {
            all.push_str(&format!("[{name}]\n"));
        }
        all.push_str(text.trim_end());
        all.push_str("\n\n");
    }
    let end = all.trim_end().len().min(MAX_INSTRUCTIONS);
    all.truncate(all.floor_char_boundary(end));
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, status: Status, instructions: Option<&str>) -> Arc<ServerState> {
        let name = ServerName::parse(name).expect("a name");
        Arc::new(ServerState {
            status,
            instructions: instructions.map(str::to_owned),
            capabilities: ServerCapabilities::parse(br#"{"tools":{}}"#),
            ..ServerState::unknown(name)
        })
    }

    #[test]
    fn what_is_known_is_promised_exactly() {
        let known = capabilities(&[state("a", Status::Ready, None)], false);
        assert_eq!(
            (known.tools, known.prompts, known.resources),
            (Some(true), None, None)
        );
        assert!(!known.completions && !known.logging);
    }

    #[test]
    fn p_110_what_is_not_known_yet_is_promised() {
        let unknown = capabilities(&[state("a", Status::Connecting, None)], true);
        assert!(unknown.prompts.is_some() && unknown.resources.is_some_and(|r| r.subscribe));
    }

    #[test]
    fn instructions_of_several_servers_bear_their_names() {
        let one = [state("a", Status::Ready, Some("do this"))];
        assert_eq!(instructions(&one).as_deref(), Some("do this"));
        let two = [
            state("a", Status::Ready, Some("do this\n")),
            state("b", Status::Ready, Some("do that")),
        ];
        assert_eq!(
            instructions(&two).as_deref(),
            Some("[a]\ndo this\n\n[b]\ndo that")
        );
        let long = "é".repeat(MAX_INSTRUCTIONS);
        let cut = instructions(&[state("a", Status::Ready, Some(&long))]);
        assert!(cut.is_some_and(|text| text.len() == MAX_INSTRUCTIONS));
    }
}
