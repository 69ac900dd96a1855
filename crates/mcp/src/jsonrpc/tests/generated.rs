//! Generated messages, beside serde_json.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

proptest! {
    #[test]
    fn nothing_panics_and_what_passes_is_what_serde_reads(bytes in messages()) {
        let Ok(envelope) = scan(&bytes, &Limits::CLIENT) else { return Ok(()) };
        let value: Value = serde_json::from_slice(&bytes).expect("it was accepted");
        let raw = |raw: Option<&[u8]>| raw.map(|r| serde_json::from_slice::<Value>(r).unwrap());
        prop_assert_eq!(envelope.method.as_deref(), value.get("method").and_then(Value::as_str));
        prop_assert_eq!(raw(envelope.id_raw()), value.get("id").filter(|id| !id.is_null()).cloned());
        prop_assert_eq!(raw(envelope.params_raw()), value.get("params").cloned());
        prop_assert_eq!(raw(envelope.result_raw()), value.get("result").cloned());
        if let Some(params) = &envelope.params {
            let theirs = &value["params"];
            prop_assert_eq!(params.name().map(|t| t.value.into_owned()), theirs["name"].as_str().map(str::to_owned));
            prop_assert_eq!(raw(params.get(Key::Cursor)), theirs.get("cursor").cloned());
            prop_assert_eq!(raw(params.meta.as_ref().map(Meta::raw)), theirs.get("_meta").filter(|m| m.is_object()).cloned());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan(&bytes, &Limits::CLIENT);
        let _ = split_batch(&bytes, &Limits::CLIENT);
    }
}

/// Messages out of likely members, some of them spoiled by one byte.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("-0.5e3".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[ ]".to_owned()),
        Just("{\"a\":[1, 2]}".to_owned()),
        "\"[a-z\\u00e9]{0,40}\"",
        Just(r#""\u0041\n\\""#.to_owned()),
    ];
    let object = |keys: &'static [&'static str], value: BoxedStrategy<String>| {
        proptest::collection::vec((proptest::sample::select(keys), value), 0..5)
            .prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\" :{v}")).collect();
                format!("{{{} }}", members.join(","))
            })
            .boxed()
    };
    let meta = object(&["progressToken", "v/x", "traceparent"], leaf.clone().boxed());
    let params = object(
        &["name", "uri", "cursor", "_meta", "x", "na\\u006de"],
        prop_oneof![leaf.clone(), meta].boxed(),
    );
    let outer = object(
        &["id", "method", "params", "params", "result", "error", "x"],
        prop_oneof![leaf, Just("\"tools/call\"".to_owned()), params.clone(), params].boxed(),
    );
    (
        outer,
        proptest::option::weighted(0.2, (any::<proptest::sample::Index>(), any::<u8>())),
    )
        .prop_map(|(members, spoil)| {
            let head = if members.len() > 3 {
                "{\"jsonrpc\":\"2.0\","
            } else {
                "{\"jsonrpc\":\"2.0\""
            };
            let mut bytes = format!("{head}{}", &members[1..]).into_bytes();
            if let Some((at, byte)) = spoil {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
}
