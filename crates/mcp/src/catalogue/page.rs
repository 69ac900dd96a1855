//! One page of a list, as a server gave it.

use bytes::Bytes;
use thiserror::Error;

use super::rules::{ItemError, key_of};
use super::{Item, ListKind};
use crate::json::{JsonError, Object, elements, find};
use crate::mirror::param_headers_of;

/// Who may be given a cached result (2026-07-28, Caching).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CacheScope {
    /// Anyone.
    Public,
    /// Only whoever asked.
    Private,
}

impl CacheScope {
    /// The value of `cacheScope`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// An item that was not taken over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// Its name as far as it is known, escaped and cut so that it can be logged.
    pub key: String,
    /// Why.
    pub reason: ItemError,
}

/// One page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The items that are fit to be offered.
    pub items: Vec<Item>,
    /// Where the list goes on; the empty string is a cursor too.
    pub next_cursor: Option<String>,
    /// For how many milliseconds the page may be kept; 0 if the server does not say.
    pub ttl_ms: u64,
    /// Who may be given it; private if the server does not say.
    pub scope: CacheScope,
    /// What was left out.
    pub dropped: Vec<Dropped>,
}

/// Why a page cannot be used at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PageError {
    /// Not JSON.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// The list is missing or no array, or the cursor no string.
    #[error("the result is not a page of this list")]
    Shape,
}

/// Reads the raw `result` of a list request. A bad item is left out, with the reason; it does not spoil the others.
///
/// # Errors
/// [`PageError`] if the result has no such list.
pub fn parse_page(kind: ListKind, result: &Bytes) -> Result<Page, PageError> {
    let object = Object::read(result)?;
    if object.repeated_key().is_some() {
        return Err(PageError::Shape);
    }
    let list = object.get(kind.member()).ok_or(PageError::Shape)?;
    let next_cursor = match object.get("nextCursor") {
        None | Some(b"null") => None,
        Some(raw) => Some(crate::json::decode(raw).ok_or(PageError::Shape)?.into_owned()),
    };
    let mut page = Page {
        items: Vec::new(),
        next_cursor,
        ttl_ms: object.get("ttlMs").and_then(number).unwrap_or(0),
        scope: match object.get("cacheScope") {
            Some(b"\"public\"") => CacheScope::Public,
            _ => CacheScope::Private,
        },
        dropped: Vec::new(),
    };
    for element in elements(list)? {
        match key_of(kind, element.value) {
            Ok(key) => page.items.push(item(kind, key, result.slice_ref(element.value))),
            Err(reason) => page.dropped.push(Dropped {
                key: printable(find(element.value, kind.key()).unwrap_or_default()),
                reason,
            }),
        }
    }
    Ok(page)
}

fn item(kind: ListKind, key: Box<str>, raw: Bytes) -> Item {
    let headers = match kind {
        ListKind::Tools => param_headers_of(find(&raw, "inputSchema").unwrap_or(b"{}")),
        _ => Ok(Vec::new()),
    };
    Item {
        key,
        headers: headers.map(Vec::into_boxed_slice),
        raw,
    }
}

/// A number of milliseconds: negative or fractional ones count as none.
fn number(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// At most 64 characters, ASCII only.
fn printable(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw)
        .chars()
        .take(64)
        .flat_map(char::escape_default)
        .collect()
}

impl Page {
    /// Leaves out the tools with invalid `x-mcp-header` annotations, as a client of a modern server over HTTP must
    /// (2026-07-28, Custom Parameter Headers).
    #[must_use]
    pub fn without_bad_annotations(mut self) -> Self {
        let (good, bad): (Vec<_>, Vec<_>) = self.items.into_iter().partition(|i| i.headers.is_ok());
        self.items = good;
        self.dropped.extend(bad.into_iter().map(|item| Dropped {
            key: printable(item.key.as_bytes()),
            reason: ItemError::Annotation,
        }));
        self
    }
}
