//! The URIs in results: where a server names its own resources to the client.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::json::{Object, decode, elements, quote};
use crate::method::Method;
use crate::splice::Edits;

/// Prepared once: for a short result the preparation costs more than the search.
static RESOURCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"resource"));

/// Rewrites the URIs of a server's own resources in a raw `result`: of `resource_link` and embedded `resource` blocks in
/// the content of tool results and prompt messages, of the `contents` of a read, of what a directory holds, and of a skill
/// and its files. `visible` gives the URI that clients see, or `None` to leave it. `None` comes back if nothing changes.
#[must_use]
pub fn rewrite_uris(
    result: &[u8],
    method: Method,
    visible: impl Fn(&str) -> Option<String>,
) -> Option<Vec<u8>> {
    let mut edits = Edits::new();
    let mut work = Work {
        edits: &mut edits,
        visible: &visible,
    };
    match method {
        // A block says `"type":"resource"` or `"resource_link"`; without the word there is none.
        Method::ToolsCall if RESOURCE.find(result).is_some() => {
            work.each(result, 0, "content", Work::block)?;
        }
        Method::PromptsGet if RESOURCE.find(result).is_some() => {
            work.each(result, 0, "messages", |work, raw, base| {
                work.member(raw, base, "content", |work, raw, base| work.block(raw, base))
            })?;
        }
        Method::ResourcesRead => work.each(result, 0, "contents", |work, raw, base| work.uri(raw, base))?,
        Method::DirectoryRead => work.each(result, 0, "resources", |work, raw, base| work.uri(raw, base))?,
        Method::SkillsGet => work.member(result, 0, "skill", |work, raw, base| {
            // Neither a skill of which the manifest is no array.
            let _dynamic = work.each(raw, base, "resources", |work, raw, base| work.uri(raw, base));
            work.uri(raw, base)
        })?,
        _ => return None,
    }
    (!edits.is_empty()).then(|| edits.apply(result))
}

struct Work<'w, V> {
    edits: &'w mut Edits,
    visible: &'w V,
}

impl<V: Fn(&str) -> Option<String>> Work<'_, V> {
    /// Visits the elements of the array `key` in the object that begins at `base` of the result.
    fn each(
        &mut self,
        raw: &[u8],
        base: usize,
        key: &str,
        visit: impl Fn(&mut Self, &[u8], usize) -> Option<()>,
    ) -> Option<()> {
        self.member(raw, base, key, |work, array, base| {
            for element in elements(array).ok()? {
                visit(work, element.value, base + element.span.start());
            }
            Some(())
        })
    }

    fn member(
        &mut self,
        raw: &[u8],
        base: usize,
        key: &str,
        visit: impl FnOnce(&mut Self, &[u8], usize) -> Option<()>,
    ) -> Option<()> {
        let object = Object::read(raw).ok()?;
        let member = object.members().iter().find(|m| m.is(key))?;
        visit(self, member.value, base + member.value_span.start())
    }

    /// One content block.
    fn block(&mut self, raw: &[u8], base: usize) -> Option<()> {
        let object = Object::read(raw).ok()?;
        match object.text("type").as_deref() {
            Some("resource_link") => self.uri(raw, base),
            Some("resource") => self.member(raw, base, "resource", Self::uri),
            _ => None,
        }
    }

    fn uri(&mut self, raw: &[u8], base: usize) -> Option<()> {
        let object = Object::read(raw).ok()?;
        let member = object.members().iter().find(|m| m.is("uri"))?;
        let visible = (self.visible)(&decode(member.value)?)?;
        self.edits
            .replace(member.value_span.at_base(base), quote(&visible));
        Some(())
    }
}
