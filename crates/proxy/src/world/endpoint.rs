//! One endpoint: several servers as one, as far as its rules admit.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::policy::Rules;
use sallyport_core::{ProfileSlug, Resource, ServerName, Timestamp};
use sallyport_mcp::capabilities::ServerCapabilities;
use sallyport_mcp::catalogue::{CacheHint, CacheScope, ListKind};
use sallyport_mcp::merge::{CollisionError, Entry, Merged};
use sallyport_mcp::method::Method;
use sallyport_mcp::mirror::ParamHeader;
use sallyport_mcp::render::{self, ListPage};
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::spoken::Spoken;
use sallyport_net::SharedBytes;

use super::introduce::{self, Introduction};
use super::keep::{self, Notes};
use crate::notice::Changes;
use crate::proof;
use crate::upstream::ServerState;

/// Whether somebody is shown an entry of a list.
pub(crate) type Shown<'a> = &'a dyn Fn(&Entry) -> bool;

/// One endpoint as it is.
pub(crate) struct Endpoint {
    /// Names it in seals and records: `profile/default`, `server/docs`.
    pub(crate) key: Arc<str>,
    /// Its tokens' audiences.
    pub(crate) resources: Vec<Resource>,
    /// Who may do what.
    pub(crate) rules: Rules,
    /// What clients see, and where it leads.
    pub(crate) merged: Merged,
    /// Until when servers that are being contacted for the first time are worth waiting for; `None` when there is none.
    pub(crate) settles: Option<Timestamp>,
    pub(super) parts: Parts,
    pub(super) states: Vec<Arc<ServerState>>,
    introduction: Introduction,
    notes: Notes,
    lists: [List; ListKind::COUNT],
    /// The servers that take tasks: in which form those of legacy and of modern clients.
    tasks: HashMap<ServerName, [Option<Era>; 2]>,
    /// Whether headers mirror arguments of any tool.
    has_mirrors: bool,
}

/// What an endpoint is besides what its servers say.
pub(super) struct Parts {
    pub(super) profile: Option<ProfileSlug>,
    pub(super) servers: Vec<ServerName>,
    pub(super) shared: HashSet<ServerName>,
    pub(super) page_items: usize,
    pub(super) spoken: Spoken,
    /// The tools whose calls have to be approved.
    pub(super) asks: HashSet<Box<str>>,
    /// Names that two servers claim where none may be changed; they are left out.
    pub(super) collisions: Vec<CollisionError>,
    /// The configuration that it was made from.
    pub(super) configured: u64,
}

/// What an endpoint's names and rules are.
pub(super) struct Identity {
    pub(super) key: Arc<str>,
    pub(super) resources: Vec<Resource>,
    pub(super) rules: Rules,
}

/// One of its lists.
struct List {
    fingerprint: u64,
    hint: CacheHint,
    /// The whole list for each era, if it fits on one page: nearly always. A brace follows, which closes the response.
    whole: Option<[SharedBytes; 2]>,
}

impl Endpoint {
    pub(super) fn new(
        identity: Identity,
        parts: Parts,
        states: Vec<Arc<ServerState>>,
        merged: Merged,
        settles: Option<Timestamp>,
    ) -> Self {
        let introduction = introduce::introduce(&states, &merged, settles.is_some(), parts.spoken);
        let notes = Notes::new(&states, &introduction.server_info);
        let lists = ListKind::ALL.map(|kind| {
            let hint = keep::hint(kind, &states, &identity.rules);
            List::new(&merged, kind, hint, &notes, parts.page_items)
        });
        let forms =
            |state: &ServerState| [Era::Legacy, Era::Modern].map(|era| introduce::task_form(state, era));
        let tasks = states
            .iter()
            .map(|state| (state.name.clone(), forms(state)))
            .filter(|(_, forms)| forms.iter().any(Option::is_some))
            .collect();
        let Identity {
            key,
            resources,
            rules,
        } = identity;
        Self {
            has_mirrors: merged.tools.iter().any(|tool| !tool.headers.is_empty()),
            key,
            resources,
            rules,
            merged,
            settles,
            parts,
            states,
            introduction,
            notes,
            lists,
            tasks,
        }
    }

    /// The form of the tasks that a client of this era makes at a server; `None` where it takes none.
    pub(crate) fn task_form(&self, server: &ServerName, client: Era) -> Option<Era> {
        if self.tasks.is_empty() {
            return None;
        }
        let [legacy, modern] = *self.tasks.get(server)?;
        match client {
            Era::Legacy => legacy,
            Era::Modern => modern,
        }
    }

    /// Names that two servers claim where none may be changed.
    pub(crate) fn collisions(&self) -> &[CollisionError] {
        &self.parts.collisions
    }

    /// The profile, if it is one.
    pub(crate) fn profile(&self) -> Option<&ProfileSlug> {
        self.parts.profile.as_ref()
    }

    /// Whether calls of a tool have to be approved by a person.
    pub(crate) fn asks(&self, tool: &str) -> bool {
        !self.parts.asks.is_empty() && self.parts.asks.contains(tool)
    }

    /// The origin that clients use.
    pub(crate) fn origin(&self) -> &str {
        self.resources.first().map_or("", proof::origin)
    }

    /// What of the protocol is spoken here.
    pub(crate) fn spoken(&self) -> Spoken {
        self.parts.spoken
    }

    /// Its servers, in the operator's order.
    pub(crate) fn servers(&self) -> &[ServerName] {
        &self.parts.servers
    }

    /// Whether it shows one server only: then nothing is renamed.
    pub(crate) fn is_of_one(&self) -> bool {
        self.parts.servers.len() < 2
    }

    /// Whether everybody uses this server together.
    pub(crate) fn is_shared(&self, server: &ServerName) -> bool {
        self.parts.shared.contains(server)
    }

    /// What it can do.
    pub(crate) fn capabilities(&self) -> &ServerCapabilities {
        &self.introduction.capabilities
    }

    /// The raw result of `initialize`.
    pub(crate) fn initialize(&self, revision: Revision) -> Bytes {
        let Introduction {
            capabilities,
            server_info,
            instructions,
            ..
        } = &self.introduction;
        if capabilities.tasks.is_some() && revision < Revision::V2025_11_25 {
            let older = ServerCapabilities {
                tasks: None,
                ..capabilities.clone()
            };
            return render::initialize_result(revision, &older, server_info, instructions.as_deref());
        }
        render::initialize_result(revision, capabilities, server_info, instructions.as_deref())
    }

    /// The raw object that names the gateway to clients.
    pub(crate) fn server_info(&self) -> &[u8] {
        &self.introduction.server_info
    }

    /// The raw result of `server/discover`.
    pub(crate) fn discover(&self) -> Bytes {
        self.introduction.discover.clone()
    }

    /// Whether headers mirror arguments of any tool: of few servers they do.
    pub(crate) fn has_mirrors(&self) -> bool {
        self.has_mirrors
    }

    /// The arguments of a tool that headers mirror, if it is shown.
    pub(crate) fn mirrored(&self, tool: &str, shown: Shown<'_>) -> &[ParamHeader] {
        match self.merged.owner(ListKind::Tools, tool) {
            Some(entry) if !entry.headers.is_empty() && shown(entry) => &entry.headers,
            _ => &[],
        }
    }

    /// A whole list as the raw result of its request and the brace that closes the response, if it fits on one page.
    pub(crate) fn whole(&self, kind: ListKind, era: Era) -> Option<SharedBytes> {
        let whole = self.lists.get(kind as usize)?.whole.as_ref()?;
        whole.get(usize::from(era == Era::Modern)).cloned()
    }

    /// A page of a list from an offset on, of what is shown; `cursor` makes the text with which the next page
    /// is asked for. `None` if there is nothing at the offset.
    pub(crate) fn page(
        &self,
        (kind, era): (ListKind, Era),
        shown: Option<Shown<'_>>,
        offset: usize,
        cursor: impl FnOnce(usize) -> String,
    ) -> Option<Bytes> {
        let mut hint = self
            .lists
            .get(kind as usize)
            .map_or(CacheHint::NONE, |list| list.hint);
        let entries = match shown {
            None => Cow::Borrowed(self.merged.list(kind)),
            Some(shown) => {
                // What is left out for somebody is for nobody else.
                hint.scope = CacheScope::Private;
                let entries = self.merged.list(kind).iter();
                Cow::Owned(entries.filter(|entry| shown(entry)).cloned().collect())
            }
        };
        let rest = entries
            .get(offset..)
            .filter(|rest| offset == 0 || !rest.is_empty())?;
        let page = rest.get(..self.parts.page_items.max(1)).unwrap_or(rest);
        let next = (page.len() < rest.len()).then(|| cursor(offset + page.len()));
        let page = ListPage {
            entries: page,
            next_cursor: next.as_deref(),
            hint,
            meta: self.notes.of(kind, era),
        };
        Some(render::list_result(kind, era, page))
    }

    /// Whether a server has said that it can do what a method of an extension asks for.
    pub(crate) fn extends_to(&self, server: &ServerName, method: Method) -> bool {
        let state = self.states.iter().find(|state| state.name == *server);
        state.is_some_and(|state| match method {
            Method::SkillsGet => state.capabilities.has_skills(),
            Method::DirectoryRead => state.capabilities.reads_directories(),
            _ => true,
        })
    }

    /// A number that changes with the list.
    pub(crate) fn fingerprint(&self, kind: ListKind) -> u64 {
        self.lists.get(kind as usize).map_or(0, |list| list.fingerprint)
    }

    /// Which of its lists differ from those of an earlier one.
    pub(super) fn changes_since(&self, earlier: &Self) -> Changes {
        let differ = |kind| self.fingerprint(kind) != earlier.fingerprint(kind);
        Changes {
            tools: differ(ListKind::Tools),
            prompts: differ(ListKind::Prompts),
            resources: differ(ListKind::Resources) || differ(ListKind::Templates) || differ(ListKind::Skills),
        }
    }
}

impl List {
    fn new(merged: &Merged, kind: ListKind, hint: CacheHint, notes: &Notes, page_items: usize) -> Self {
        let entries = merged.list(kind);
        let render = |era| {
            let page = ListPage {
                entries,
                next_cursor: None,
                hint,
                meta: notes.of(kind, era),
            };
            let list = render::list_result(kind, era, page);
            SharedBytes::new([&list[..], b"}"].concat().into())
        };
        Self {
            fingerprint: merged.fingerprint(kind),
            hint,
            whole: (entries.len() <= page_items.max(1)).then(|| [render(Era::Legacy), render(Era::Modern)]),
        }
    }
}
