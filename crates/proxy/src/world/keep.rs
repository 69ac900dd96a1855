//! What a list says of itself: how long and for whom it may be kept, and which servers are missing in it.

use std::sync::Arc;

use sallyport_core::policy::{Rules, Selection};
use sallyport_mcp::catalogue::{CacheHint, CacheScope, ListKind};
use sallyport_mcp::json::quote;
use sallyport_mcp::jsonrpc::MetaKey;
use sallyport_mcp::revision::Era;

use crate::upstream::{ServerState, Status};

/// The longest time for which clients may keep a list, in milliseconds: 5 min, so that one that hears of no changes
/// notices what the operator has changed.
const LONGEST: u64 = 300_000;

/// The member of `_meta` that names the servers that a list lacks.
const UNAVAILABLE: &str = "sallyport/unavailable";

/// The member of `_meta` that names the servers that have more than is in a list.
const INCOMPLETE: &str = "sallyport/incomplete";

/// How long and for whom a list may be kept: as long as the shortest of its servers' words. Not at all where a server has
/// given none, is away, or has more than is taken of it: then the list is not whole. For everyone only if the server says so and the endpoint leaves
/// nothing out for anybody (P-38).
pub(super) fn hint(kind: ListKind, states: &[Arc<ServerState>], rules: &Rules) -> CacheHint {
    if states
        .iter()
        .any(|state| !is_there(state) || state.catalogue.is_cut(kind))
    {
        return CacheHint::NONE;
    }
    let having = states.iter().filter(|state| has(state, kind));
    let shortest = having
        .map(|state| state.catalogue.hint(kind))
        .reduce(|one, other| {
            let (one, other) = (one?, other?);
            Some(CacheHint {
                ttl_ms: one.ttl_ms.min(other.ttl_ms),
                scope: one.scope.max(other.scope),
            })
        });
    let Some(hint) = shortest.flatten() else {
        return CacheHint::NONE;
    };
    let names = match kind {
        ListKind::Tools => &rules.tools,
        ListKind::Prompts => &rules.prompts,
        ListKind::Resources | ListKind::Templates | ListKind::Skills => &rules.resources,
    };
    // A token may be for some of several servers.
    let hides = rules.conditions.as_ref().is_some_and(|rules| rules.hide());
    let open = *names == Selection::all() && rules.users == Selection::all() && !hides && states.len() < 2;
    CacheHint {
        ttl_ms: hint.ttl_ms.min(LONGEST),
        scope: if open { hint.scope } else { CacheScope::Private },
    }
}

fn has(state: &ServerState, kind: ListKind) -> bool {
    let capabilities = &state.capabilities;
    match kind {
        ListKind::Tools => capabilities.tools.is_some(),
        ListKind::Prompts => capabilities.prompts.is_some(),
        ListKind::Resources | ListKind::Templates => capabilities.resources.is_some(),
        ListKind::Skills => capabilities.has_skills(),
    }
}

fn is_there(state: &ServerState) -> bool {
    state.status == Status::Ready
}

/// The `_meta` of one of an endpoint's lists.
#[derive(Clone)]
struct Note {
    legacy: Option<Vec<u8>>,
    modern: Vec<u8>,
}

/// The `_meta` of an endpoint's lists.
pub(super) struct Notes([Note; ListKind::COUNT]);

impl Notes {
    pub(super) fn new(states: &[Arc<ServerState>], server_info: &[u8]) -> Self {
        Self(ListKind::ALL.map(|kind| Note::new(kind, states, server_info)))
    }

    /// For clients of this era.
    pub(super) fn of(&self, kind: ListKind, era: Era) -> Option<&[u8]> {
        let note = self.0.get(kind as usize)?;
        match era {
            Era::Legacy => note.legacy.as_deref(),
            Era::Modern => Some(&note.modern),
        }
    }
}

impl Note {
    fn new(kind: ListKind, states: &[Arc<ServerState>], server_info: &[u8]) -> Self {
        let lacks = [
            named(UNAVAILABLE, states, |state| !is_there(state)),
            named(INCOMPLETE, states, |state| {
                is_there(state) && state.catalogue.is_cut(kind)
            }),
        ];
        let lacks: Vec<String> = lacks.into_iter().flatten().collect();
        let mut modern = format!("{{\"{}\":", MetaKey::ServerInfo.as_str()).into_bytes();
        modern.extend_from_slice(server_info);
        for lack in &lacks {
            modern.push(b',');
            modern.extend_from_slice(lack.as_bytes());
        }
        modern.push(b'}');
        Self {
            legacy: (!lacks.is_empty()).then(|| format!("{{{}}}", lacks.join(",")).into_bytes()),
            modern,
        }
    }
}

/// A member with the names of the servers of which something holds, if there are any.
fn named(member: &str, states: &[Arc<ServerState>], holds: impl Fn(&ServerState) -> bool) -> Option<String> {
    let names: Vec<String> = states
        .iter()
        .filter(|state| holds(state))
        .map(|state| String::from_utf8(quote(state.name.as_str())).unwrap_or_default())
        .collect();
    (!names.is_empty()).then(|| format!("\"{member}\":[{}]", names.join(",")))
}

#[cfg(test)]
mod tests {
    use sallyport_core::ServerName;
    use sallyport_mcp::capabilities::ServerCapabilities;
    use sallyport_mcp::catalogue::Catalogue;

    use super::*;

    fn state(name: &str, status: Status, said: Option<(u64, CacheScope)>) -> Arc<ServerState> {
        let mut catalogue = Catalogue::default();
        let hint = said.map(|(ttl_ms, scope)| CacheHint { ttl_ms, scope });
        catalogue.put(ListKind::Tools, Vec::new(), hint);
        Arc::new(ServerState {
            status,
            capabilities: ServerCapabilities::parse(br#"{"tools":{}}"#),
            catalogue: Arc::new(catalogue),
            ..ServerState::unknown(ServerName::parse(name).expect("a name"))
        })
    }

    fn failed() -> Status {
        Status::Failed {
            reason: "gone".to_owned(),
        }
    }

    #[test]
    fn p_38_a_list_is_kept_as_shortly_and_as_privately_as_any_of_its_servers_says() {
        use CacheScope::{Private, Public};
        let closed = Rules {
            users: Selection::default(),
            ..Rules::open()
        };
        let filtered = Rules {
            tools: Selection::default(),
            ..Rules::open()
        };
        let ready = |said| state("a", Status::Ready, said);
        for (states, rules, ttl_ms, scope) in [
            (
                vec![ready(Some((50, Public))), ready(Some((70, Public)))],
                Rules::open(),
                50,
                Private,
            ),
            (
                vec![ready(Some((50, Public))), ready(Some((70, Private)))],
                Rules::open(),
                50,
                Private,
            ),
            (
                vec![ready(Some((50, Public))), ready(None)],
                Rules::open(),
                0,
                Private,
            ),
            (
                vec![
                    ready(Some((50, Public))),
                    state("b", failed(), Some((70, Public))),
                ],
                Rules::open(),
                0,
                Private,
            ),
            (vec![ready(Some((50, Public)))], closed, 50, Private),
            (vec![ready(Some((50, Public)))], filtered, 50, Private),
            (
                vec![ready(Some((LONGEST, Public)))],
                Rules::open(),
                LONGEST,
                Public,
            ),
            (
                vec![ready(Some((LONGEST + 1, Public)))],
                Rules::open(),
                LONGEST,
                Public,
            ),
            (vec![], Rules::open(), 0, Private),
        ] {
            let got = hint(ListKind::Tools, &states, &rules);
            assert_eq!(got, CacheHint { ttl_ms, scope }, "{rules:?}");
        }
    }

    #[test]
    fn p_110_a_server_that_is_away_is_named() {
        let whole = Notes::new(&[state("a", Status::Ready, None)], b"{}");
        assert_eq!(whole.of(ListKind::Tools, Era::Legacy), None);
        assert_eq!(
            whole.of(ListKind::Tools, Era::Modern),
            Some(&br#"{"io.modelcontextprotocol/serverInfo":{}}"#[..])
        );
        let states = [state("a", Status::Ready, None), state("b", failed(), None)];
        let partial = Notes::new(&states, b"{}");
        assert_eq!(
            partial.of(ListKind::Tools, Era::Legacy),
            Some(&br#"{"sallyport/unavailable":["b"]}"#[..])
        );
        assert_eq!(
            partial.of(ListKind::Tools, Era::Modern),
            Some(&br#"{"io.modelcontextprotocol/serverInfo":{},"sallyport/unavailable":["b"]}"#[..])
        );
    }
}
