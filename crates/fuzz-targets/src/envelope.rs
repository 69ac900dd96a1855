//! Messages: our reading of them beside that of serde_json.

use std::collections::BTreeMap;

use sallyport_mcp::jsonrpc::{Envelope, Limits, scan, split_batch};
use serde_json::value::RawValue;

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What the scanner accepts is JSON, and its members are those that a parser finds, byte for byte.
pub fn envelope(bytes: &[u8]) {
    if let Ok(messages) = split_batch(bytes, &Limits::CLIENT) {
        let parsed = serde_json::from_slice::<Vec<&RawValue>>(bytes);
        assert!(parsed.is_ok(), "a batch that is no list: {parsed:?}");
        let parsed: Vec<&[u8]> = parsed.iter().flatten().map(|raw| raw.get().as_bytes()).collect();
        assert_eq!(messages, parsed);
    }
    let Ok(envelope) = scan(bytes, &Limits::CLIENT) else {
        return;
    };
    let parsed = serde_json::from_slice::<Members<'_>>(bytes);
    assert!(parsed.is_ok(), "accepted, and no object: {parsed:?}");
    if let Ok(members) = parsed {
        same(&envelope, &members);
    }
}

fn same(envelope: &Envelope<'_>, members: &Members<'_>) {
    let raw = |key: &str| members.get(key).map(|raw| raw.get().as_bytes());
    let is_null = |raw: &&[u8]| *raw == b"null";
    assert_eq!(envelope.id_raw(), raw("id").filter(|id| !is_null(id)));
    assert_eq!(envelope.params_raw(), raw("params"));
    assert_eq!(envelope.result_raw(), raw("result"));
    assert_eq!(envelope.error_raw(), raw("error"));
    assert_eq!(envelope.method.as_deref().map(str::to_owned), text(raw("method")));
    let Some(params) = &envelope.params else { return };
    let Some(theirs) = raw("params").and_then(|raw| serde_json::from_slice::<Members<'_>>(raw).ok()) else {
        return;
    };
    let theirs = |key: &str| theirs.get(key).map(|raw| raw.get().as_bytes());
    let ours = [
        ("name", params.name()),
        ("uri", params.uri()),
        ("cursor", params.cursor()),
    ];
    for (key, ours) in ours {
        let ours = ours.map(|text| text.value.into_owned());
        assert_eq!(ours, text(theirs(key)), "{key}");
    }
    assert_eq!(params.arguments(), theirs("arguments"));
}

/// A member that is a string.
fn text(raw: Option<&[u8]>) -> Option<String> {
    serde_json::from_slice(raw?).ok()
}
