//! What one server offers, as it said so, item by item.

mod collect;
mod page;
mod rules;
#[cfg(test)]
mod tests;

pub use collect::{Collector, MAX_PAGES, Next, StopReason};
pub use page::{CacheScope, Dropped, Page, PageError, parse_page};
pub use rules::{ItemError, MAX_ITEM_BYTES, MAX_ITEM_OBJECTS, is_tool_name};

use bytes::Bytes;

use crate::method::Method;
use crate::mirror::{InvalidAnnotation, ParamHeader};

/// The four lists of a server.
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
}

impl ListKind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The method that asks for it.
    #[must_use]
    pub fn method(self) -> Method {
        match self {
            Self::Tools => Method::ToolsList,
            Self::Prompts => Method::PromptsList,
            Self::Resources => Method::ResourcesList,
            Self::Templates => Method::TemplatesList,
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
        }
    }

    /// The member of an item by which it is called.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The most items that are taken from one server.
    #[must_use]
    pub fn max_items(self) -> usize {
        match self {
            Self::Resources => 10_000,
            Self::Tools | Self::Prompts | Self::Templates => 1_000,
        }
    }
}

/// One tool, prompt, resource or template.
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
        }
    }

    /// One of the lists, to be filled.
    pub fn list_mut(&mut self, kind: ListKind) -> &mut Vec<Item> {
        match kind {
            ListKind::Tools => &mut self.tools,
            ListKind::Prompts => &mut self.prompts,
            ListKind::Resources => &mut self.resources,
            ListKind::Templates => &mut self.templates,
        }
    }

    /// The item of this name, URI or template.
    #[must_use]
    pub fn find(&self, kind: ListKind, key: &str) -> Option<&Item> {
        self.list(kind).iter().find(|item| &*item.key == key)
    }
}
