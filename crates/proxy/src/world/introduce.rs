//! How an endpoint introduces itself: capabilities and instructions of its servers, as one.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::ServerName;
use sallyport_mcp::capabilities::{ResourcesCapability, ServerCapabilities, UI_EXTENSION};
use sallyport_mcp::catalogue::CacheHint;
use sallyport_mcp::merge::Merged;
use sallyport_mcp::render;
use sallyport_mcp::revision::Era;
use sallyport_mcp::spoken::Spoken;
use sallyport_mcp::tasks;

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
pub(super) fn introduce(
    states: &[Arc<ServerState>],
    merged: &Merged,
    unsettled: bool,
    spoken: Spoken,
) -> Introduction {
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
        spoken,
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
    if states.iter().any(|state| task_form(state, Era::Modern).is_some()) {
        all.extensions
            .insert(tasks::EXTENSION.to_owned(), Bytes::from_static(b"{}"));
    }
    let legacy: Vec<&[u8]> = states
        .iter()
        .filter(|state| task_form(state, Era::Legacy) == Some(Era::Legacy))
        .filter_map(|state| state.capabilities.tasks.as_deref())
        .collect();
    if !legacy.is_empty() {
        all.tasks = Some(Bytes::from_static(tasks::legacy_capability(legacy)));
    }
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

/// The form of the tasks that a client of this era makes at a server: that of the era in which the server is spoken to
/// for it. `None` where it takes none.
pub(super) fn task_form(state: &ServerState, client: Era) -> Option<Era> {
    let form = state.speaks.era_for(client)?;
    let takes = match form {
        Era::Legacy => state
            .capabilities
            .tasks
            .as_deref()
            .is_some_and(tasks::takes_calls),
        Era::Modern => state.capabilities.extensions.contains_key(tasks::EXTENSION),
    };
    takes.then_some(form)
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
    use crate::upstream::Speaks;

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
    fn tasks_are_offered_in_the_form_that_a_client_can_use() {
        let state = |capabilities: &[u8], legacy, modern| {
            Arc::new(ServerState {
                capabilities: ServerCapabilities::parse(capabilities),
                speaks: Speaks { legacy, modern },
                ..(*state("a", Status::Ready, None)).clone()
            })
        };
        let old: &[u8] = br#"{"tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}}"#;
        let new: &[u8] = br#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        for (server, modern, legacy) in [
            (state(old, true, false), true, true),
            (state(new, false, true), true, false),
            (state(new, true, true), true, false),
            (state(old, true, true), false, true),
            (state(br#"{"tasks":{}}"#, true, false), false, false),
        ] {
            let all = capabilities(&[server], false);
            assert_eq!(all.extensions.contains_key(tasks::EXTENSION), modern);
            assert_eq!(all.tasks.is_some(), legacy);
        }
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
