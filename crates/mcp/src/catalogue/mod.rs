//! What one server offers, as it said so, item by item.

mod collect;
mod page;
mod rules;
mod skill;
#[cfg(test)]
mod tests;

pub use collect::{Collector, MAX_PAGES, Next, StopReason};
pub use page::{CacheScope, Dropped, Page, PageError, parse_page};
pub use rules::{ItemError, MAX_ITEM_BYTES, MAX_ITEM_OBJECTS, is_tool_name};
pub use skill::{MAX_SKILL_FILES, SKILL_MD, SkillFiles, skill_root};

use bytes::Bytes;

use crate::method::Method;
use crate::mirror::{InvalidAnnotation, ParamHeader};

/// The lists of a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `skills/list` of the skills extension.
    Skills,
}

impl ListKind {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them; the place of each is its number.
    pub const ALL: [Self; 5] = [
        Self::Tools,
        Self::Prompts,
        Self::Resources,
        Self::Templates,
        Self::Skills,
    ];

    /// The method that asks for it.
    #[must_use]
    pub fn method(self) -> Method {
        match self {
            Self::Tools => Method::ToolsList,
            Self::Prompts => Method::PromptsList,
            Self::Resources => Method::ResourcesList,
            Self::Templates => Method::TemplatesList,
            Self::Skills => Method::SkillsList,
        }
    }

    /// The list that a method asks for.
    #[must_use]
    pub fn of(method: Method) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// The member of the result that holds the items.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Skills => "skills",
        }
    }

    /// The member of an item by which it is called.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources | Self::Skills => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The most items that are taken from one server.
    #[must_use]
    pub fn max_items(self) -> usize {
        match self {
            Self::Resources => 10_000,
            Self::Tools | Self::Prompts | Self::Templates | Self::Skills => 1_000,
        }
    }
}

/// One tool, prompt, resource, template or skill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Its name, URI or URI template, unescaped.
    pub key: Box<str>,
    /// The raw object.
    pub raw: Bytes,
    /// Of a tool: the arguments that headers mirror, or why its annotations are invalid. Such a tool must not be
    /// offered by a modern server over HTTP; elsewhere the annotations mean nothing.
    pub headers: Result<Box<[ParamHeader]>, InvalidAnnotation>,
}

/// What one server offers, in its own order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalogue {
    /// The tools.
    pub tools: Vec<Item>,
    /// The prompts.
    pub prompts: Vec<Item>,
    /// The resources.
    pub resources: Vec<Item>,
    /// The resource templates.
    pub templates: Vec<Item>,
    /// The skills.
    pub skills: Vec<Item>,
    /// How long and for whom each list may be kept, as the server said: by [`ListKind`], `None` where it has not.
    pub hints: [Option<CacheHint>; ListKind::COUNT],
    /// Whether each list was cut where it grew too long: the server has more.
    pub cut: [bool; ListKind::COUNT],
}

/// How long and for whom a result may be kept (2026-07-28, Caching).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheHint {
    /// In milliseconds.
    pub ttl_ms: u64,
    /// For whom.
    pub scope: CacheScope,
}

impl CacheHint {
    /// Not at all, and for nobody else.
    pub const NONE: Self = Self {
        ttl_ms: 0,
        scope: CacheScope::Private,
    };
}

impl Catalogue {
    /// One of the lists.
    #[must_use]
    pub fn list(&self, kind: ListKind) -> &[Item] {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::Templates => &self.templates,
            ListKind::Skills => &self.skills,
        }
    }

    /// One of the lists, to be filled.
    pub fn list_mut(&mut self, kind: ListKind) -> &mut Vec<Item> {
        match kind {
            ListKind::Tools => &mut self.tools,
            ListKind::Prompts => &mut self.prompts,
            ListKind::Resources => &mut self.resources,
            ListKind::Templates => &mut self.templates,
            ListKind::Skills => &mut self.skills,
        }
    }

    /// What the server said of keeping one of the lists.
    #[must_use]
    pub fn hint(&self, kind: ListKind) -> Option<CacheHint> {
        self.hints.get(kind as usize).copied().flatten()
    }

    /// Whether the server has more than is in one of the lists.
    #[must_use]
    pub fn is_cut(&self, kind: ListKind) -> bool {
        self.cut.get(kind as usize).copied().unwrap_or_default()
    }

    /// Says whether the server has more than is in one of the lists.
    pub fn set_cut(&mut self, kind: ListKind, cut: bool) {
        if let Some(place) = self.cut.get_mut(kind as usize) {
            *place = cut;
        }
    }

    /// Takes over a list as it was fetched.
    pub fn put(&mut self, kind: ListKind, items: Vec<Item>, hint: Option<CacheHint>) {
        *self.list_mut(kind) = items;
        if let Some(place) = self.hints.get_mut(kind as usize) {
            *place = hint;
        }
    }

    /// The item of this name, URI or template.
    #[must_use]
    pub fn find(&self, kind: ListKind, key: &str) -> Option<&Item> {
        self.list(kind).iter().find(|item| &*item.key == key)
    }
}
