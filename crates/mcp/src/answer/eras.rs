//! A response of one era as a response of the other.

use std::borrow::Cow;

use crate::error::{self, INTERNAL_ERROR, INVALID_PARAMS, LEGACY_RESOURCE_NOT_FOUND};
use crate::json::{Object, decode, is_object};
use crate::jsonrpc::MetaKey;
use crate::method::Method;
use crate::revision::Era;
use crate::splice::{Edits, ObjectEdit};

/// A modern server's response for a legacy client: without what only modern clients know. Borrowed if nothing changes;
/// what is no response comes back as it is.
#[must_use]
pub fn to_legacy(message: &[u8], method: Method) -> Cow<'_, [u8]> {
    let Ok(object) = Object::read(message) else {
        return Cow::Borrowed(message);
    };
    if let Some(error) = object.get("error") {
        return recoded(message, &object, error, |code, _| match code {
            -32602 if method == Method::ResourcesRead => Some(LEGACY_RESOURCE_NOT_FOUND),
            // Headers and versions between gateway and server are no business of the client's.
            code if error::is_modern_code(code) => Some(INTERNAL_ERROR),
            _ => None,
        });
    }
    let kind = object
        .get("result")
        .and_then(|result| crate::json::find(result, "resultType"));
    if kind.is_some_and(|kind| kind != b"\"complete\"") {
        return Cow::Owned(unknown_type(&object));
    }
    changed_result(message, &object, |edit| {
        let mut changed = false;
        for key in ["resultType", "ttlMs", "cacheScope"] {
            if edit.object().get(key).is_some() {
                edit.remove(key);
                changed = true;
            }
        }
        let meta = edit
            .object()
            .get("_meta")
            .and_then(|raw| ObjectEdit::new(raw).ok());
        if let Some(mut meta) = meta
            && meta.object().get(MetaKey::ServerInfo.as_str()).is_some()
        {
            meta.remove(MetaKey::ServerInfo.as_str());
            let rest = meta.finish();
            if rest == b"{}" {
                edit.remove("_meta");
            } else {
                edit.set("_meta", rest);
            }
            changed = true;
        }
        changed
    })
}

/// A response for a modern client, from a server of either era: with `resultType`, with cache hints where the method has
/// them, and without codes that no modern server may send. `server_info` is the raw object by which a legacy server's
/// result is told to come from here. Borrowed if nothing changes, as with most modern servers; what is no response comes
/// back as it is.
#[must_use]
pub fn to_modern<'a>(message: &'a [u8], method: Method, from: Era, server_info: &[u8]) -> Cow<'a, [u8]> {
    let Ok(object) = Object::read(message) else {
        return Cow::Borrowed(message);
    };
    if let Some(error) = object.get("error") {
        return recoded(message, &object, error, |code, error| match code {
            -32002 => Some(INVALID_PARAMS),
            -32021 if from == Era::Modern || names_capabilities(error) => None,
            // Codes that implementations chose for themselves, and those that the protocol keeps (2026-07-28, Error
            // Codes). A legacy server means something else by them; a modern one speaks of the gateway's own request.
            -32099..=-32000 => Some(INTERNAL_ERROR),
            _ => None,
        });
    }
    let result = object.get("result");
    if result.is_some_and(|result| !is_object(result)) {
        return Cow::Owned(unknown_type(&object));
    }
    let kind = result.and_then(|result| crate::json::find(result, "resultType"));
    if from == Era::Modern {
        let complete = kind == Some(b"\"complete\"");
        // The usual case ends here, and costs one look at the message.
        if (complete && !method.is_cacheable()) || (kind == Some(b"\"input_required\"") && method.may_ask()) {
            return Cow::Borrowed(message);
        }
        if kind.is_some() && !complete {
            return Cow::Owned(unknown_type(&object));
        }
    }
    changed_result(message, &object, |edit| {
        let mut changed = false;
        let mut set = |edit: &mut ObjectEdit<'a>, key: &str, value: &[u8]| {
            edit.set(key, value);
            changed = true;
        };
        // To a legacy server the member means nothing, whatever it is.
        if kind.is_none() || from == Era::Legacy {
            set(edit, "resultType", b"\"complete\"");
        }
        if method.is_cacheable() {
            // Who may see it is for the gateway's rules to say, so that nobody else's cache may hand it on (P-38).
            if edit.object().get("cacheScope") != Some(b"\"private\"") {
                set(edit, "cacheScope", b"\"private\"");
            }
            if !edit.object().get("ttlMs").is_some_and(is_duration) {
                set(edit, "ttlMs", b"0");
            }
        }
        if from == Era::Legacy {
            let meta = edit.object().get("_meta").filter(|raw| is_object(raw));
            if let Ok(mut meta) = ObjectEdit::new(meta.unwrap_or(b"{}")) {
                meta.set(MetaKey::ServerInfo.as_str(), server_info);
                set(edit, "_meta", &meta.finish());
            }
        }
        changed
    })
}

/// Whether a raw value is a number of milliseconds: an integer, not below zero (2026-07-28, Caching).
fn is_duration(raw: &[u8]) -> bool {
    !raw.is_empty() && raw.iter().all(u8::is_ascii_digit)
}

/// The error in place of a result whose `resultType` nobody agreed on (2026-07-28, Results: an unrecognized type is an
/// invalid response).
fn unknown_type(object: &Object<'_>) -> Vec<u8> {
    let text = "the server answered with a result of an unknown type";
    error::message(object.get("id"), INTERNAL_ERROR, text, None).to_vec()
}

/// Whether an error says which capabilities the client lacks. Servers of both eras say so to legacy clients too, and
/// mean the same by it.
fn names_capabilities(error: &Object<'_>) -> bool {
    let data = error.get("data").and_then(|raw| Object::read(raw).ok());
    data.is_some_and(|data| data.get("requiredCapabilities").is_some_and(is_object))
}

/// The message with its result edited.
fn changed_result<'a>(
    message: &'a [u8],
    object: &Object<'a>,
    change: impl FnOnce(&mut ObjectEdit<'a>) -> bool,
) -> Cow<'a, [u8]> {
    let member = object
        .members()
        .iter()
        .find(|m| m.is("result") && is_object(m.value));
    let Some((member, mut edit)) = member.and_then(|m| Some((m, ObjectEdit::new(m.value).ok()?))) else {
        return Cow::Borrowed(message);
    };
    if !change(&mut edit) {
        return Cow::Borrowed(message);
    }
    let mut edits = Edits::new();
    edit.finish_into(&mut edits, member.value_span.start());
    Cow::Owned(edits.apply(message))
}

/// The message with another error code; what the server said is kept in `data` where its code had no meaning.
fn recoded<'a>(
    message: &'a [u8],
    object: &Object<'a>,
    error: &'a [u8],
    map: impl FnOnce(i64, &Object<'a>) -> Option<i32>,
) -> Cow<'a, [u8]> {
    let Ok(parsed) = Object::read(error) else {
        return Cow::Borrowed(message);
    };
    let code = parsed
        .get("code")
        .and_then(|raw| std::str::from_utf8(raw).ok()?.parse::<i64>().ok());
    let Some(new) = code.and_then(|code| map(code, &parsed)) else {
        return Cow::Borrowed(message);
    };
    let id = object.get("id").filter(|raw| *raw != b"null");
    if new == INTERNAL_ERROR {
        let text = parsed.get("message").and_then(decode).unwrap_or_default();
        let original = String::from_utf8_lossy(error);
        let data = format!("{{\"original\":{original}}}");
        return Cow::Owned(error::message(id, new, &text, Some(&data)).to_vec());
    }
    let Ok(mut edit) = ObjectEdit::new(error) else {
        return Cow::Borrowed(message);
    };
    edit.set("code", new.to_string());
    Cow::Owned(error::relay(id, &edit.finish()).to_vec())
}
