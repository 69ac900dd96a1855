//! `io.modelcontextprotocol/related-task`: the task that a legacy message belongs to (2025-11-25, Related Task Metadata).

use std::borrow::Cow;

use crate::json::{Object, decode, find, is_object, quote};
use crate::jsonrpc::MetaKey;
use crate::splice::ObjectEdit;

/// The task that raw `params`, or a raw result, names in `_meta`.
#[must_use]
pub fn related_task(object: &[u8]) -> Option<Cow<'_, str>> {
    let related = find(find(object, "_meta")?, MetaKey::RelatedTask.as_str())?;
    decode(find(related, "taskId")?)
}

/// The raw object with this task in `_meta`, or with none; what is no object comes back as it is.
#[must_use]
pub fn with_related_task(object: &[u8], task: Option<&str>) -> Vec<u8> {
    let unchanged = || object.to_vec();
    let Ok(mut outer) = ObjectEdit::new(object) else {
        return unchanged();
    };
    let meta = outer.object().get("_meta").filter(|raw| is_object(raw));
    if meta.is_none() && task.is_none() {
        return unchanged();
    }
    let Ok(mut meta) = ObjectEdit::new(meta.unwrap_or(b"{}")) else {
        return unchanged();
    };
    match task {
        Some(task) => {
            let mut related = br#"{"taskId":"#.to_vec();
            related.extend_from_slice(&quote(task));
            related.push(b'}');
            meta.set(MetaKey::RelatedTask.as_str(), related);
        }
        None => {
            meta.remove(MetaKey::RelatedTask.as_str());
        }
    }
    let rest = meta.finish();
    if task.is_none() && Object::read(&rest).is_ok_and(|object| object.members().is_empty()) {
        outer.remove("_meta");
    } else {
        outer.set("_meta", rest);
    }
    outer.finish()
}
