use cel::Value;
use cel::objects::Key;
use proptest::prelude::*;
use serde_json::{Map, Number, json};

use super::*;

/// A CEL value as JSON again, with the kind of its numbers.
fn back(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::UInt(value) => {
            assert!(i64::try_from(*value).is_err(), "{value} is an int");
            json!(value)
        }
        Value::Float(value) => json!(value),
        Value::String(value) => json!(**value),
        Value::List(values) => values.iter().map(back).collect(),
        Value::Map(values) => {
            let entry = |(key, value): (&Key, &Value)| match key {
                Key::String(key) => (key.to_string(), back(value)),
                other => panic!("{other:?}"),
            };
            values.map.iter().map(entry).collect::<Map<_, _>>().into()
        }
        other => panic!("{other:?}"),
    }
}

fn read(raw: &str) -> Result<serde_json::Value, &'static str> {
    let value = arguments(raw.as_bytes(), &Spelling::default())?;
    Ok(back(&Value::try_from(&*value).unwrap()))
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_filter_map("finite", |value| Number::from_f64(value).map(Into::into)),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_comes_through_as_it_is(value in any_value()) {
        let object = json!({ "v": value });
        let read = read(&object.to_string()).unwrap();
        prop_assert_eq!(read, object);
    }

    #[test]
    fn no_bytes_are_too_odd(raw in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = arguments(&raw, &Spelling::default());
    }
}

#[test]
fn numbers_are_of_the_kind_that_they_are_written_as() {
    let kind = |number: &str| {
        let raw = format!("{{\"n\":{number}}}");
        let value =
            arguments(raw.as_bytes(), &Spelling::default()).map(|value| Value::try_from(&*value).unwrap());
        match value {
            Ok(Value::Map(map)) => map
                .map
                .values()
                .map(|value| value.type_of().to_string())
                .collect(),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => fault.to_owned(),
        }
    };
    for (number, wanted) in [
        ("0", "int"),
        ("-1", "int"),
        ("9223372036854775807", "int"),
        ("9223372036854775808", "uint"),
        ("18446744073709551615", "uint"),
        ("18446744073709551616", "float"),
        ("-9223372036854775809", "float"),
        ("1.0", "float"),
        ("1e2", "float"),
        ("1e999", fault::UNREADABLE),
    ] {
        assert_eq!(kind(number), wanted, "{number}");
    }
}

#[test]
fn jr_01_what_two_readers_could_read_differently_is_not_read() {
    for raw in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"o":{"a":1,"b":[],"a":1}}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":1} {"a":2}"#,
        r#"{"a":1"#,
        "[1]",
        "1",
        "{\"a\":\"\u{0}\"}",
    ] {
        assert_eq!(read(raw), Err(fault::UNREADABLE), "{raw}");
    }
    assert_eq!(
        arguments(b"{\"a\":\"\xff\"}", &Spelling::default()).err(),
        Some(fault::UNREADABLE)
    );
    for none in ["", "null", "{}", " {} "] {
        assert_eq!(read(none), Ok(json!({})), "{none}");
    }
}

#[test]
fn arguments_at_the_limit_and_one_past_it() {
    let long = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    assert_eq!(long(limits::ARGUMENTS).len(), limits::ARGUMENTS);
    assert!(read(&long(limits::ARGUMENTS)).is_ok());
    assert_eq!(read(&long(limits::ARGUMENTS + 1)), Err(fault::LONG));
    let many = |values: usize| format!("{{\"a\":[0{}]}}", ",0".repeat(values - 2));
    assert!(read(&many(limits::VALUES)).is_ok());
    assert_eq!(read(&many(limits::VALUES + 1)), Err(fault::LONG));
}
