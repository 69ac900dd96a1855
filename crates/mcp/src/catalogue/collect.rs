//! A list, put together from its pages.

use std::collections::HashSet;

use super::page::{CacheScope, Dropped, Page};
use super::rules::ItemError;
use super::{Item, ListKind};

/// The most pages that are asked of one server for one list.
pub const MAX_PAGES: usize = 64;

/// What to do after a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Ask for the page at this cursor.
    More(String),
    /// The list is complete.
    Done,
    /// The list is not complete and will not be.
    Stopped(StopReason),
}

/// Why no more pages are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// There were [`MAX_PAGES`].
    Pages,
    /// The list is as long as it may be.
    Items,
    /// A cursor came back that had been given before.
    Loop,
}

/// Puts a list together, within bounds.
#[derive(Debug)]
pub struct Collector {
    kind: ListKind,
    items: Vec<Item>,
    names: HashSet<Box<str>>,
    cursors: HashSet<String>,
    pages: usize,
    /// What was left out of all pages so far.
    pub dropped: Vec<Dropped>,
    /// The shortest time that any page may be kept, in milliseconds.
    pub ttl_ms: u64,
    /// The narrowest scope of any page.
    pub scope: CacheScope,
}

impl Collector {
    /// An empty list.
    #[must_use]
    pub fn new(kind: ListKind) -> Self {
        Self {
            kind,
            items: Vec::new(),
            names: HashSet::new(),
            cursors: HashSet::new(),
            pages: 0,
            dropped: Vec::new(),
            ttl_ms: u64::MAX,
            scope: CacheScope::Public,
        }
    }

    /// Takes the next page.
    pub fn add(&mut self, page: Page) -> Next {
        self.pages += 1;
        self.ttl_ms = self.ttl_ms.min(page.ttl_ms);
        self.scope = self.scope.max(page.scope);
        self.dropped.extend(page.dropped);
        for item in page.items {
            if self.items.len() >= self.kind.max_items() {
                self.leave_out(&item, ItemError::TooMany);
                return Next::Stopped(StopReason::Items);
            }
            if self.names.insert(item.key.clone()) {
                self.items.push(item);
            } else {
                self.leave_out(&item, ItemError::Duplicate);
            }
        }
        match page.next_cursor {
            None => Next::Done,
            Some(_) if self.pages >= MAX_PAGES => Next::Stopped(StopReason::Pages),
            Some(cursor) if !self.cursors.insert(cursor.clone()) => Next::Stopped(StopReason::Loop),
            Some(cursor) => Next::More(cursor),
        }
    }

    fn leave_out(&mut self, item: &Item, reason: ItemError) {
        // Bounded like the list itself, so that a long one cannot fill the memory with reasons.
        if self.dropped.len() < self.kind.max_items() {
            self.dropped.push(Dropped {
                key: item.key.chars().take(64).flat_map(char::escape_default).collect(),
                reason,
            });
        }
    }

    /// The list.
    #[must_use]
    pub fn finish(self) -> Vec<Item> {
        self.items
    }
}
