//! JSON-RPC error codes, and messages built from parts.

use bytes::Bytes;

use crate::json::{quote_into, well_formed};
use crate::spoken::Spoken;

/// Not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// Not a JSON-RPC message.
pub const INVALID_REQUEST: i32 = -32600;
/// No such method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// Parameters that cannot be served: an unknown tool, a bad cursor, a missing resource.
pub const INVALID_PARAMS: i32 = -32602;
/// A failure of the gateway, or of the server behind it.
pub const INTERNAL_ERROR: i32 = -32603;
/// A missing resource, in legacy revisions only.
pub const LEGACY_RESOURCE_NOT_FOUND: i32 = -32002;
/// The user has to visit a URL first; revision 2025-11-25 only.
pub const LEGACY_URL_ELICITATION_REQUIRED: i32 = -32042;
/// A header is missing, malformed, or not what the body says (2026-07-28).
pub const HEADER_MISMATCH: i32 = -32020;
/// The client lacks a capability that the answer needs (2026-07-28); `data.requiredCapabilities`.
pub const MISSING_CAPABILITY: i32 = -32021;
/// The version is not spoken here (2026-07-28); `data.supported`, `data.requested`.
pub const UNSUPPORTED_VERSION: i32 = -32022;

/// Whether a code proves that its sender speaks a modern revision.
#[must_use]
pub fn is_modern_code(code: i64) -> bool {
    matches!(code, -32022..=-32020)
}

/// Whether an error in the place of an answer to a modern request says that its sender speaks another revision: by name, or
/// as servers with `initialize` speak of a session that they miss (`-32600`, and codes of their own).
#[must_use]
pub fn is_of_a_handshake(code: i64) -> bool {
    matches!(code, -32022 | -32600 | -32019..=-32000)
}

/// An error response. Without `id` the request's could not be read. `data` is a raw JSON value.
#[must_use]
pub fn message(id: Option<&[u8]>, code: i32, text: &str, data: Option<&str>) -> Bytes {
    let mut out = Vec::with_capacity(96 + text.len() + data.map_or(0, str::len));
    head(&mut out, id);
    out.extend_from_slice(b"\"error\":");
    object_into(&mut out, code, text, data);
    out.push(b'}');
    out.into()
}

/// An error object alone.
#[must_use]
pub fn object(code: i32, text: &str, data: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + text.len());
    object_into(&mut out, code, text, data);
    out
}

/// An error response that bears a raw error object.
#[must_use]
pub fn relay(id: Option<&[u8]>, error: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(48 + error.len());
    head(&mut out, id);
    out.extend_from_slice(b"\"error\":");
    out.extend_from_slice(error);
    out.push(b'}');
    out.into()
}

/// A response with a raw result.
#[must_use]
pub fn result(id: &[u8], raw: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(40 + id.len() + raw.len());
    result_head_into(&mut out, id);
    out.extend_from_slice(raw);
    out.push(b'}');
    out.into()
}

/// What stands in a response before its result. The result and a closing brace follow.
#[must_use]
pub fn result_head(id: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(40 + id.len());
    result_head_into(&mut out, id);
    out.into()
}

fn result_head_into(out: &mut Vec<u8>, id: &[u8]) {
    head(out, Some(id));
    out.extend_from_slice(b"\"result\":");
}

/// A request with raw parameters.
#[must_use]
pub fn request(id: &[u8], method: &str, params: Option<&[u8]>) -> Bytes {
    call(Some(id), method, params)
}

/// A notification with raw parameters.
#[must_use]
pub fn notification(method: &str, params: Option<&[u8]>) -> Bytes {
    call(None, method, params)
}

/// The `data` of [`UNSUPPORTED_VERSION`]: a raw JSON object.
#[must_use]
pub fn unsupported_version_data(requested: &str, spoken: Spoken) -> String {
    let mut out = b"{\"supported\":".to_vec();
    out.extend_from_slice(spoken.versions().as_bytes());
    out.extend_from_slice(b",\"requested\":");
    quote_into(&mut out, requested);
    out.push(b'}');
    well_formed(out)
}

fn call(id: Option<&[u8]>, method: &str, params: Option<&[u8]>) -> Bytes {
    let mut out = Vec::with_capacity(64 + method.len() + params.map_or(0, <[u8]>::len));
    head(&mut out, id);
    out.extend_from_slice(b"\"method\":");
    quote_into(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
    out.push(b'}');
    out.into()
}

fn head(out: &mut Vec<u8>, id: Option<&[u8]>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        out.extend_from_slice(id);
        out.push(b',');
    }
}

fn object_into(out: &mut Vec<u8>, code: i32, text: &str, data: Option<&str>) {
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    quote_into(out, text);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_what_they_say() {
        let table: [(Bytes, &str); 6] = [
            (
                message(Some(b"7"), INVALID_PARAMS, "no \"x\"", Some("{\"uri\":\"a\"}")),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no \"x\"","data":{"uri":"a"}}}"#,
            ),
            (
                message(None, PARSE_ERROR, "bad", None),
                r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"bad"}}"#,
            ),
            (
                result(b"\"a\"", b"{}"),
                r#"{"jsonrpc":"2.0","id":"a","result":{}}"#,
            ),
            (relay(Some(b"1"), b"{}"), r#"{"jsonrpc":"2.0","id":1,"error":{}}"#),
            (
                request(b"1", "ping", None),
                r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            ),
            (
                notification("notifications/x", Some(b"{}")),
                r#"{"jsonrpc":"2.0","method":"notifications/x","params":{}}"#,
            ),
        ];
        for (built, expected) in table {
            assert_eq!(built, expected.as_bytes());
        }
    }

    #[test]
    fn the_refused_version_is_named_and_quoted() {
        let spoken = Spoken::ALL.without(crate::Revision::V2025_06_18);
        let data = unsupported_version_data("20\"27", spoken);
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["requested"], "20\"27");
        let supported = serde_json::json!(["2026-07-28", "2025-11-25", "2025-03-26", "2024-11-05"]);
        assert_eq!(data["supported"], supported);
    }
}
