use std::collections::HashMap;

mod arguments;

use super::*;
use crate::error::{HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION};
use crate::jsonrpc::{Envelope, Limits, scan};
use crate::method::Method;
use crate::revision::{Era, Revision};
use crate::spoken::Spoken;

/// Headers by lower-case name; a value that stands twice is given twice.
#[derive(Clone, Default)]
struct Headers(HashMap<String, Vec<Vec<u8>>>);

impl Headers {
    fn of(pairs: &[(&str, &str)]) -> Self {
        let mut all = Self::default();
        for (name, value) in pairs {
            all.0
                .entry((*name).to_owned())
                .or_default()
                .push(value.as_bytes().to_vec());
        }
        all
    }

    fn get(&self, name: &str) -> HeaderField<'_> {
        assert_eq!(
            name,
            name.to_ascii_lowercase(),
            "names are asked for in lower case"
        );
        match self.0.get(name).map(Vec::as_slice) {
            None | Some([]) => HeaderField::Missing,
            Some([one]) => HeaderField::Single(one),
            Some(_) => HeaderField::Repeated,
        }
    }

    fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut changed = self.clone();
        changed.0.remove(name);
        if let Some(value) = value {
            changed.0.insert(name.to_owned(), vec![value.as_bytes().to_vec()]);
        }
        changed
    }
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn message(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

fn call(arguments: &str) -> String {
    message(
        "tools/call",
        &format!(r#""name":"search","arguments":{arguments},{META}"#),
    )
}

fn scanned(text: &str) -> Envelope<'_> {
    scan(text.as_bytes(), &Limits::CLIENT).unwrap()
}

fn good() -> Headers {
    Headers::of(&[
        (VERSION_HEADER, "2026-07-28"),
        (METHOD_HEADER, "tools/call"),
        (NAME_HEADER, "search"),
    ])
}

/// The code with which a message is refused; 0 if it is not.
fn code(headers: &Headers, text: &str) -> i32 {
    let envelope = scanned(text);
    admit(|name| headers.get(name), &envelope, Spoken::ALL).map_or_else(|error| error.code(), |_| 0)
}

#[test]
fn matching_headers_are_admitted() {
    assert_eq!(code(&good(), &call("{}")), 0);
    let spaced = good().with(NAME_HEADER, Some(" search\t"));
    assert_eq!(code(&spaced, &call("{}")), 0);
    let list = message("tools/list", META);
    let headers = Headers::of(&[(VERSION_HEADER, "2026-07-28"), (METHOD_HEADER, "tools/list")]);
    assert_eq!(code(&headers, &list), 0);
}

#[test]
fn hm_01_the_method_header_is_compared() {
    for wrong in ["tools/list", "Tools/call", "tools/call,tools/call"] {
        assert_eq!(
            code(&good().with(METHOD_HEADER, Some(wrong)), &call("{}")),
            HEADER_MISMATCH,
            "{wrong}"
        );
    }
}

#[test]
fn hm_02_the_name_header_is_compared() {
    for wrong in ["other", "Search", "", "search,search"] {
        assert_eq!(
            code(&good().with(NAME_HEADER, Some(wrong)), &call("{}")),
            HEADER_MISMATCH,
            "{wrong}"
        );
    }
    for (method, key) in [
        ("prompts/get", "name"),
        ("resources/read", "uri"),
        ("tasks/get", "taskId"),
        ("tasks/update", "taskId"),
        ("tasks/cancel", "taskId"),
    ] {
        let text = message(method, &format!(r#""{key}":"x",{META}"#));
        let headers = good().with(METHOD_HEADER, Some(method));
        assert_eq!(code(&headers, &text), HEADER_MISMATCH, "{method}");
        assert_eq!(code(&headers.with(NAME_HEADER, Some("x")), &text), 0, "{method}");
    }
}

#[test]
fn hm_03_each_header_is_required() {
    for name in [VERSION_HEADER, METHOD_HEADER, NAME_HEADER] {
        assert_eq!(
            code(&good().with(name, None), &call("{}")),
            HEADER_MISMATCH,
            "{name}"
        );
    }
}

#[test]
fn hm_04_versions_agree_and_are_known() {
    let text = call("{}");
    for (header, expected) in [
        ("2025-11-25", HEADER_MISMATCH),
        ("2027-01-01", UNSUPPORTED_VERSION),
        ("banana", UNSUPPORTED_VERSION),
    ] {
        assert_eq!(
            code(&good().with(VERSION_HEADER, Some(header)), &text),
            expected,
            "{header}"
        );
    }
    let newer = text.replace("2026-07-28", "2027-01-01");
    assert_eq!(
        code(&good().with(VERSION_HEADER, Some("2027-01-01")), &newer),
        UNSUPPORTED_VERSION
    );
    assert_eq!(code(&good(), &newer), HEADER_MISMATCH);
    assert_eq!(
        code(&good().with(VERSION_HEADER, None), &newer),
        UNSUPPORTED_VERSION
    );
    let older = text.replace("2026-07-28", "2025-11-25");
    assert_eq!(
        code(&good().with(VERSION_HEADER, Some("2025-11-25")), &older),
        UNSUPPORTED_VERSION
    );

    let headers = good().with(VERSION_HEADER, Some("2027-01-01"));
    let error = admit(|name| headers.get(name), &scanned(&newer), Spoken::ALL).unwrap_err();
    let data: serde_json::Value = serde_json::from_str(&error.data().unwrap()).unwrap();
    assert_eq!((error.status(), &data["requested"]), (400, &"2027-01-01".into()));
}

#[test]
fn a_version_that_is_off_is_like_one_that_is_not_known() {
    let spoken = Spoken::ALL.without(Revision::V2026_07_28);
    let text = call("{}");
    let off = |error: MirrorError| (error.code(), error.data().unwrap_or_default());
    let data =
        r#"{"supported":["2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"2026-07-28"}"#;
    let refused = (UNSUPPORTED_VERSION, data.to_owned());
    let headers = good();
    let over_http = admit(|name| headers.get(name), &scanned(&text), spoken);
    assert_eq!(over_http.map_err(off).unwrap_err(), refused);
    let without_heads = admit_without_headers(&scanned(&text), spoken);
    assert_eq!(without_heads.map_err(off).unwrap_err(), refused);
    assert!(admit_without_headers(&scanned(&text), Spoken::ALL).is_ok());
}

#[test]
fn hm_04_what_meta_lacks_is_told_after_the_version() {
    for (params, expected) in [
        (r#""name":"search""#.to_owned(), INVALID_PARAMS),
        (r#""name":"search","_meta":{}"#.to_owned(), INVALID_PARAMS),
        (
            format!(r#""name":"search",{}"#, META.replace(":{}}", ":5}")),
            INVALID_PARAMS,
        ),
        (
            r#""name":"search","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#.to_owned(),
            INVALID_PARAMS,
        ),
    ] {
        let text = message("tools/call", &params);
        assert_eq!(code(&good(), &text), expected, "{params}");
        // An unknown version comes first.
        let headers = good().with(VERSION_HEADER, Some("2030-01-01"));
        assert_eq!(code(&headers, &text), UNSUPPORTED_VERSION, "{params}");
    }
}

#[test]
fn hm_05_an_old_version_skips_no_check_of_a_modern_body() {
    for header in [
        HeaderField::Missing,
        HeaderField::Single(b"2025-06-18"),
        HeaderField::Repeated,
    ] {
        assert_eq!(classify(header, &scanned(&call("{}"))), Era::Modern, "{header:?}");
    }
    assert_eq!(
        code(&good().with(VERSION_HEADER, Some("2025-06-18")), &call("{}")),
        HEADER_MISMATCH
    );
}

#[test]
fn eras_are_told_by_the_message() {
    let legacy_call = message("tools/call", r#""name":"x""#);
    let initialize = message("initialize", META);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for (header, text, era) in [
        (None, legacy_call.as_str(), Era::Legacy),
        (Some("2025-06-18"), &legacy_call, Era::Legacy),
        (Some("banana"), &legacy_call, Era::Legacy),
        (Some("2026-07-28"), &legacy_call, Era::Modern),
        (Some(" 2026-07-28 "), &legacy_call, Era::Modern),
        (Some("2031-01-01"), &legacy_call, Era::Modern),
        (Some("2026-07-28"), &initialize, Era::Legacy),
        (Some("2026-07-28"), response, Era::Legacy),
    ] {
        let field = header.map_or(HeaderField::Missing, |value| {
            HeaderField::Single(value.as_bytes())
        });
        assert_eq!(classify(field, &scanned(text)), era, "{header:?} {text}");
    }
}

#[test]
fn hm_06_sentinels_are_decoded_once_and_strictly() {
    for (field, value) in [
        ("plain", Some("plain")),
        ("", Some("")),
        ("=?base64?w6k=?=", Some("é")),
        ("=?base64??=", Some("")),
        ("=?base64?PT9iYXNlNjQ/WVE9PT89?=", Some("=?base64?YQ==?=")),
        ("=?BASE64?YQ==?=", Some("=?BASE64?YQ==?=")),
        ("=?base64?YQ==", Some("=?base64?YQ==")),
        ("YQ==?=", Some("YQ==?=")),
        ("=?base64?YQ?=", None),
        ("=?base64?YQ=?=", None),
        ("=?base64?YR==?=", None),
        ("=?base64?_-8=?=", None),
        ("=?base64?Y Q==?=", None),
        ("=?base64?/w==?=", None),
        ("a\tb", None),
        ("é", None),
        ("a\u{7f}", None),
    ] {
        assert_eq!(decode(field.as_bytes()).as_deref(), value, "{field}");
    }
    assert_eq!(decode(b"\xff"), None);
    for field in ["=?base64?YQ?=", "=?base64?_-8=?="] {
        assert_eq!(
            code(&good().with(NAME_HEADER, Some(field)), &call("{}")),
            HEADER_MISMATCH
        );
    }
    assert_eq!(
        code(
            &good().with(NAME_HEADER, Some("=?base64?c2VhcmNo?=")),
            &call("{}")
        ),
        0
    );
}

#[test]
fn hm_07_repeated_and_odd_headers() {
    for name in [VERSION_HEADER, METHOD_HEADER, NAME_HEADER] {
        let mut headers = good();
        let values = headers.0.get_mut(name).unwrap();
        values.push(values[0].clone());
        assert_eq!(code(&headers, &call("{}")), HEADER_MISMATCH, "{name}");
    }
    let long = "x".repeat(MAX_HEADER_VALUE);
    let text = call("{}").replace("\"search\"", &format!("\"{long}\""));
    assert_eq!(code(&good().with(NAME_HEADER, Some(&long)), &text), 0);
    let longer = format!("{long}x");
    let text = call("{}").replace("\"search\"", &format!("\"{longer}\""));
    assert_eq!(
        code(&good().with(NAME_HEADER, Some(&longer)), &text),
        HEADER_MISMATCH
    );
}

#[test]
fn notifications_need_no_headers() {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":1,{META}}}}}"#
    );
    assert_eq!(code(&Headers::default(), &text), 0);
    assert_eq!(
        code(&good().with(METHOD_HEADER, Some("other")), &text),
        HEADER_MISMATCH
    );
}
