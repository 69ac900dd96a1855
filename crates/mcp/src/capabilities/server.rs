//! Server capabilities.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::json::{Object, is_object, quote_into};
use crate::revision::Era;

/// What a server can do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerCapabilities {
    /// Has tools; whether it tells of changes to their list.
    pub tools: Option<bool>,
    /// Has prompts; whether it tells of changes to their list.
    pub prompts: Option<bool>,
    /// Has resources.
    pub resources: Option<ResourcesCapability>,
    /// Completes arguments.
    pub completions: bool,
    /// Sends log messages.
    pub logging: bool,
    /// Extensions by their identifier, with their raw settings.
    pub extensions: BTreeMap<String, Bytes>,
    /// Raw `experimental`.
    pub experimental: Option<Bytes>,
    /// Raw `tasks` of revision 2025-11-25.
    pub tasks: Option<Bytes>,
}

/// What a server can do with resources.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResourcesCapability {
    /// Tells of updates to single resources.
    pub subscribe: bool,
    /// Tells of changes to the list.
    pub list_changed: bool,
}

impl ServerCapabilities {
    /// Reads a raw `capabilities` object. What is not understood is left out; what is no object has none.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Self {
        let Ok(object) = Object::read(raw) else {
            return Self::default();
        };
        let part = |key: &str| object.get(key).filter(|raw| is_object(raw));
        let list = |key: &str| part(key).map(|raw| flag(raw, "listChanged"));
        Self {
            tools: list("tools"),
            prompts: list("prompts"),
            resources: part("resources").map(|raw| ResourcesCapability {
                subscribe: flag(raw, "subscribe"),
                list_changed: flag(raw, "listChanged"),
            }),
            completions: part("completions").is_some(),
            logging: part("logging").is_some(),
            extensions: part("extensions").map(extensions).unwrap_or_default(),
            experimental: part("experimental").map(Bytes::copy_from_slice),
            tasks: part("tasks").map(Bytes::copy_from_slice),
        }
    }

    /// Whether it has skills, which are files and therefore need resources (Skills extension, capability).
    #[must_use]
    pub fn has_skills(&self) -> bool {
        self.resources.is_some() && self.extensions.contains_key(SKILLS_EXTENSION)
    }

    /// Whether it lists directories: a setting of the skills extension.
    #[must_use]
    pub fn reads_directories(&self) -> bool {
        let settings = self.extensions.get(SKILLS_EXTENSION);
        self.has_skills() && settings.is_some_and(|settings| flag(settings, "directoryRead"))
    }

    /// What several servers can do together, with their changes told of by the gateway. Skills survive it; whoever
    /// joins the servers decides on other extensions. Experiments and tasks do not: their meaning is lost between several
    /// servers.
    #[must_use]
    pub fn union<'a>(servers: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        let either = |mine: Option<bool>, other: Option<bool>| match (mine, other) {
            (None, None) => None,
            (mine, other) => Some(mine.unwrap_or(false) || other.unwrap_or(false)),
        };
        for server in servers {
            all.tools = either(all.tools, server.tools);
            all.prompts = either(all.prompts, server.prompts);
            if let Some(other) = server.resources {
                let mine = all.resources.get_or_insert_default();
                mine.subscribe |= other.subscribe;
                mine.list_changed |= other.list_changed;
            }
            all.completions |= server.completions;
            all.logging |= server.logging;
            if server.has_skills() {
                let directories = all.reads_directories() || server.reads_directories();
                let settings: &[u8] = if directories {
                    b"{\"directoryRead\":true}"
                } else {
                    b"{}"
                };
                let settings = Bytes::from_static(settings);
                all.extensions.insert(SKILLS_EXTENSION.to_owned(), settings);
            }
        }
        all
    }

    /// The raw `capabilities` object for clients of this era: extensions are for modern clients, and for the legacy
    /// ones only where they are defined there too (`io.modelcontextprotocol/ui`); `tasks` is for legacy ones.
    #[must_use]
    pub fn render(&self, era: Era) -> Vec<u8> {
        let mut out = Members::new();
        let list = |changed: bool| {
            if changed {
                b"{\"listChanged\":true}".to_vec()
            } else {
                b"{}".to_vec()
            }
        };
        if let Some(changed) = self.tools {
            out.add("tools", &list(changed));
        }
        if let Some(changed) = self.prompts {
            out.add("prompts", &list(changed));
        }
        if let Some(resources) = self.resources {
            let mut inner = Members::new();
            if resources.subscribe {
                inner.add("subscribe", b"true");
            }
            if resources.list_changed {
                inner.add("listChanged", b"true");
            }
            out.add("resources", &inner.finish());
        }
        if self.completions {
            out.add("completions", b"{}");
        }
        if self.logging {
            out.add("logging", b"{}");
        }
        let mut extensions = Members::new();
        for (id, settings) in &self.extensions {
            if era == Era::Modern || id == UI_EXTENSION {
                extensions.add(id, settings);
            }
        }
        if !extensions.is_empty() {
            out.add("extensions", &extensions.finish());
        }
        if let Some(experimental) = &self.experimental {
            out.add("experimental", experimental);
        }
        if let (Some(tasks), Era::Legacy) = (&self.tasks, era) {
            out.add("tasks", tasks);
        }
        out.finish()
    }
}

/// Skills; defined for modern clients only.
const SKILLS_EXTENSION: &str = "io.modelcontextprotocol/skills";

/// MCP Apps, the one extension that both eras negotiate.
pub const UI_EXTENSION: &str = "io.modelcontextprotocol/ui";

fn flag(raw: &[u8], key: &str) -> bool {
    Object::read(raw).is_ok_and(|object| object.is_true(key))
}

fn extensions(raw: &[u8]) -> BTreeMap<String, Bytes> {
    let Ok(object) = Object::read(raw) else {
        return BTreeMap::new();
    };
    let entry = |member: &crate::json::Member<'_>| {
        let id = member.key.as_deref()?;
        is_object(member.value).then(|| (id.to_owned(), Bytes::copy_from_slice(member.value)))
    };
    object.members().iter().filter_map(entry).collect()
}

/// An object under construction.
pub(crate) struct Members(Vec<u8>);

impl Members {
    pub(crate) fn new() -> Self {
        Self(vec![b'{'])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    pub(crate) fn add(&mut self, key: &str, raw: &[u8]) {
        if !self.is_empty() {
            self.0.push(b',');
        }
        quote_into(&mut self.0, key);
        self.0.push(b':');
        self.0.extend_from_slice(raw);
    }

    pub(crate) fn add_text(&mut self, key: &str, value: &str) {
        self.add(key, &crate::json::quote(value));
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}
