use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// JSON text with white space in all places.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        "\"[a-z]{0,200}\"",
    ];
    leaf.prop_recursive(6, 60, 5, |inner| {
        let space = "[ \t\r\n]{0,2}";
        prop_oneof![
            proptest::collection::vec((space, inner.clone(), space), 0..5).prop_map(|items| {
                let items: Vec<String> = items.iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            proptest::collection::vec((space, "[a-z]{0,12}", space, inner), 0..5).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(a, k, b, v)| format!("{a}\"{k}\"{b}:{a}{v}{b}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn valid_texts_are_accepted(text in json_text()) {
        prop_assert_eq!(check(text.as_bytes(), MAX_DEPTH), Ok(()));
    }

    #[test]
    fn the_judgement_is_that_of_serde(text in json_text(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.remove(at);
        } else {
            bytes[at] = byte;
        }
        let theirs = std::str::from_utf8(&bytes).is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok());
        prop_assert_eq!(check(&bytes, MAX_DEPTH).is_ok(), theirs, "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (check(&bytes, MAX_DEPTH), members(&bytes), elements(&bytes), find(&bytes, "a"), decode(&bytes));
    }

    #[test]
    fn members_are_where_they_are_said_to_be(text in json_text()) {
        let value: Value = match serde_json::from_str(&text) {
            Ok(value) => value,
            // A number that no float holds.
            Err(_) => return Ok(()),
        };
        if let Value::Object(theirs) = &value {
            for member in members(text.as_bytes()).unwrap() {
                let key = member.key.clone().unwrap();
                prop_assert!(theirs.contains_key(&*key));
                prop_assert_eq!(decode(member.key_span.of(text.as_bytes())).unwrap(), key);
                prop_assert_eq!(member.value_span.of(text.as_bytes()), member.value);
                prop_assert_eq!(member.value.trim_ascii(), member.value);
            }
        }
        if let Value::Array(theirs) = &value {
            let mine = elements(text.as_bytes()).unwrap();
            prop_assert_eq!(mine.len(), theirs.len());
            for (mine, theirs) in mine.iter().zip(theirs) {
                prop_assert_eq!(&serde_json::from_slice::<Value>(mine.value).unwrap(), theirs);
            }
        }
    }
}

#[test]
fn strings_of_every_length_end_where_they_end() {
    for length in 0..200 {
        for (special, good) in [
            ("\"", true),
            ("\\n\"", true),
            ("\n\"", false),
            ("\u{1f}\"", false),
            ("", false),
        ] {
            let text = format!("\"{}{special}", "é".repeat(length / 2) + &"x".repeat(length % 2));
            assert_eq!(check(text.as_bytes(), 1).is_ok(), good, "{text}");
            let followed = format!("[{text},\"and so on, for long enough that whole words are read\"]");
            assert_eq!(
                check(followed.as_bytes(), 1).is_ok(),
                good && !special.is_empty(),
                "{followed}"
            );
        }
    }
}

/// Blocks, windows and words end at different places: a broken character is found at each, in values and in keys.
#[test]
fn jr_06_broken_characters_are_found_wherever_they_are() {
    let broken: [&[u8]; 6] = [
        b"\x80",
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xff",
    ];
    for length in (0..80)
        .chain(250..320)
        .chain([511, 512, 513, 1023, 1024, 1025, 100_000])
    {
        for filling in ["x", "é"] {
            let before = filling.repeat(length / filling.len());
            for after in ["", "x", "é", "\\n", &"x".repeat(600)] {
                let text = |middle: &[u8]| [before.as_bytes(), middle, after.as_bytes()].concat();
                let good = text("\u{20ac}".as_bytes());
                assert_eq!(
                    check(&[b"\"", &*good, b"\""].concat(), 1),
                    Ok(()),
                    "{length} {after}"
                );
                for broken in broken {
                    let text = text(broken);
                    let value = [b"[\"", &*text, b"\"]"].concat();
                    let key = [b"{\"", &*text, b"\":1}"].concat();
                    assert_eq!(
                        check(&value, 1),
                        Err(JsonError::Utf8),
                        "{length} {broken:?} {after}"
                    );
                    assert_eq!(
                        check(&key, 1),
                        Err(JsonError::Utf8),
                        "{length} {broken:?} {after}"
                    );
                }
            }
        }
    }
    for outside in [
        b"\xef\xbb\xbf1".as_slice(),
        b"1\xc2\xa0",
        b"[1,\xc3\xa9]",
        b"{\xff\"a\":1}",
    ] {
        assert!(check(outside, 1).is_err());
    }
}

#[test]
fn depth_is_bounded_whatever_is_asked_for() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(check(nested(MAX_DEPTH).as_bytes(), usize::MAX).is_ok());
    assert_eq!(
        check(nested(MAX_DEPTH + 1).as_bytes(), usize::MAX),
        Err(JsonError::TooDeep)
    );
    assert_eq!(check(nested(3).as_bytes(), 2), Err(JsonError::TooDeep));
    // Closed levels do not count.
    let wide = format!("[{}]", vec!["[[]]"; 1000].join(","));
    assert!(check(wide.as_bytes(), 3).is_ok());
}

#[test]
fn the_first_of_several_members_is_found() {
    let raw = br#"{"a":1,"\u0062":{"a":2},"b":3}"#;
    assert_eq!(find(raw, "b"), Some(br#"{"a":2}"#.as_slice()));
    assert_eq!(find(raw, "c"), None);
    assert_eq!(find(b"[]", "a"), None);
    assert_eq!(Object::read(raw).unwrap().repeated_key(), Some("b"));
    assert_eq!(Object::read(b"{}").unwrap().repeated_key(), None);
}

#[test]
fn the_leading_member_is_told_from_the_first_bytes_or_not_at_all() {
    let names = ["result", "error"];
    for (raw, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":"\"error\":","result":{"error":1}}"#,
            Some("result"),
        ),
        (r#"{"\u0065rror":{},"result":1}"#, Some("error")),
        (r#"{"id":1}"#, None),
        (r#"{}"#, None),
        ("[]", None),
    ] {
        assert_eq!(leading(raw.as_bytes(), &names), expected, "{raw}");
    }
    for length in 470..530 {
        let padded = format!(r#"{{"{}":12,"result":[]}}"#, "\u{e9}".repeat(length / 2));
        let told = leading(padded.as_bytes(), &names);
        assert!(told.is_none() || told == Some("result"), "{length}");
        assert_eq!(told.is_some(), length / 2 * 2 <= 496, "{length}");
    }
}
