//! The headers of a modern request to a server, made from the body that is sent.

use std::borrow::Cow;

use super::annotation::{ParamHeader, ParamType};
use super::{METHOD_HEADER, NAME_HEADER, VERSION_HEADER, sentinel};
use crate::json::{decode, find};
use crate::method::Method;
use crate::revision::Revision;

/// The headers for a request with this raw `params` object, for a tool with these mirrored arguments: names in lower
/// case, values fit for a header.
#[must_use]
pub fn headers_for(
    method: Method,
    method_name: &str,
    params: &[u8],
    param_headers: &[ParamHeader],
) -> Vec<(Cow<'static, str>, String)> {
    let mut out: Vec<(Cow<'static, str>, String)> = vec![
        (VERSION_HEADER.into(), Revision::NEWEST_MODERN.as_str().to_owned()),
        (METHOD_HEADER.into(), sentinel::encode(method_name).into_owned()),
    ];
    if let Some(source) = method.name_source() {
        let target = find(params, source.as_str()).and_then(decode);
        if let Some(target) = target {
            out.push((NAME_HEADER.into(), sentinel::encode(&target).into_owned()));
        }
    }
    if param_headers.is_empty() {
        return out;
    }
    let arguments = find(params, "arguments").unwrap_or(b"{}");
    for param in param_headers {
        // An argument that stands twice was refused when it came in.
        let Ok(Some(raw)) = param.argument(arguments) else {
            continue;
        };
        if let Some(value) = value_of(param.kind, raw) {
            out.push((param.header().into(), value));
        }
    }
    out
}

fn value_of(kind: ParamType, raw: &[u8]) -> Option<String> {
    match (kind, raw.first()?) {
        (_, b'"') => decode(raw).map(|value| sentinel::encode(&value).into_owned()),
        (_, b't' | b'f' | b'-' | b'0'..=b'9') => String::from_utf8(raw.to_vec()).ok(),
        _ => None,
    }
}
