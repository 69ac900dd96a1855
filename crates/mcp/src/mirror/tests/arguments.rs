//! Mirrored arguments, and headers that are made here.

use proptest::prelude::*;

use super::*;

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "limit":{"type":"integer","x-mcp-header":"Limit"},
    "dry":{"type":"boolean","x-mcp-header":"Dry"},
    "place":{"type":"object","properties":{"zip":{"type":"string","x-mcp-header":"Zip"}}}}}"#;

fn params_ok(headers: &[(&str, &str)], arguments: &str) -> bool {
    let annotated = param_headers_of(SCHEMA.as_bytes()).unwrap();
    let headers = Headers::of(headers);
    check_params(|name| headers.get(name), Some(arguments.as_bytes()), &annotated).is_ok()
}

#[test]
fn hm_08_arguments_are_mirrored() {
    let all = [
        ("mcp-param-region", "eu-1"),
        ("mcp-param-limit", "42"),
        ("mcp-param-dry", "true"),
        ("mcp-param-zip", "=?base64?w6k=?="),
        ("mcp-param-unknown", "whatever"),
    ];
    assert!(params_ok(
        &all,
        r#"{"region":"eu-1","limit":42,"dry":true,"place":{"zip":"é"},"q":1}"#
    ));
    assert!(params_ok(&[], "{}"));
    assert!(params_ok(&[], r#"{"region":null,"place":5}"#));
    let region = |value| [("mcp-param-region", value)];
    for (headers, arguments) in [
        (region("eu-2"), r#"{"region":"eu-1"}"#),
        (region("EU-1"), r#"{"region":"eu-1"}"#),
        (region("eu-1"), "{}"),
        (region("eu-1"), r#"{"region":null}"#),
        (region("eu-1"), r#"{"region":"eu-1","region":"eu-2"}"#),
        (region("eu-1"), r#"{"region":["eu-1"]}"#),
        (region("=?base64?YQ?="), r#"{"region":"a"}"#),
    ] {
        assert!(!params_ok(&headers, arguments), "{headers:?} {arguments}");
    }
    assert!(!params_ok(&[], r#"{"region":"eu-1"}"#));
    assert!(!params_ok(&[], r#"{"place":{"zip":"1","zip":"2"}}"#));
    assert!(!params_ok(
        &[("mcp-param-region", "a"), ("mcp-param-region", "a")],
        r#"{"region":"a"}"#
    ));
}

#[test]
fn hm_08_integers_are_compared_as_numbers() {
    for (header, argument, same) in [
        ("42", "42", true),
        ("42.0", "42", true),
        ("42", "42.0", true),
        ("4.2e1", "42", true),
        ("420e-1", "42", true),
        ("-0", "0", true),
        ("42.5", "42", false),
        ("042", "42", false),
        ("+42", "42", false),
        ("43", "42", false),
        ("\"42\"", "42", false),
        ("9007199254740991", "9007199254740991.0", true),
        ("9007199254740993.0", "9007199254740992.0", false),
        ("1e400", "1e400", true),
        ("1e400", "10e399", false),
        ("NaN", "0", false),
    ] {
        let arguments = format!("{{\"limit\":{argument}}}");
        assert_eq!(
            params_ok(&[("mcp-param-limit", header)], &arguments),
            same,
            "{header} {argument}"
        );
    }
    assert!(!params_ok(&[("mcp-param-dry", "True")], r#"{"dry":true}"#));
    assert!(!params_ok(&[("mcp-param-dry", "false")], r#"{"dry":true}"#));
}

#[test]
fn annotations_that_cannot_be_followed_are_named() {
    let property = |body: &str| format!(r#"{{"properties":{{"a":{body}}}}}"#);
    use InvalidAnnotation as I;
    for (schema, wrong) in [
        (property(r#"{"type":"string","x-mcp-header":""}"#), I::Name),
        (property(r#"{"type":"string","x-mcp-header":"a b"}"#), I::Name),
        (property(r#"{"type":"string","x-mcp-header":"a\r\nb"}"#), I::Name),
        (property(r#"{"type":"string","x-mcp-header":5}"#), I::Name),
        (property(r#"{"type":"number","x-mcp-header":"A"}"#), I::Type),
        (property(r#"{"type":["string"],"x-mcp-header":"A"}"#), I::Type),
        (property(r#"{"x-mcp-header":"A"}"#), I::Type),
        (property(r#"{"type":"string","\u0078-mcp-header":"A B"}"#), I::Name),
        (property(r#"{"items":{"type":"string","x-mcp-header":"A"}}"#), I::Place),
        (property(r#"{"anyOf":[{"type":"string","x-mcp-header":"A"}]}"#), I::Place),
        (r#"{"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}"#.to_owned(), I::Place),
        (r#"{"type":"string","x-mcp-header":"A"}"#.to_owned(), I::Place),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#
                .to_owned(),
            I::Duplicate,
        ),
    ] {
        assert_eq!(param_headers_of(schema.as_bytes()), Err(wrong), "{schema}");
    }
    for harmless in [
        "{}".to_owned(),
        r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#.to_owned(),
        property(r#"{"type":"string","default":{"x-mcp-header":"A"}}"#),
        property(r#"{"type":"string","description":"x-mcp-header"}"#),
    ] {
        assert_eq!(
            param_headers_of(harmless.as_bytes()),
            Ok(Vec::new()),
            "{harmless}"
        );
    }
}

#[test]
fn hm_10_headers_are_made_from_the_body_that_is_sent() {
    let annotated = param_headers_of(SCHEMA.as_bytes()).unwrap();
    let params =
        r#"{"name":"süchen","arguments":{"region":" eu","limit":42.0,"dry":false,"place":{"zip":null}}}"#;
    let headers = headers_for(Method::ToolsCall, "tools/call", params.as_bytes(), &annotated);
    let text: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        text,
        [
            "mcp-protocol-version: 2026-07-28",
            "mcp-method: tools/call",
            "mcp-name: =?base64?c8O8Y2hlbg==?=",
            "mcp-param-region: =?base64?IGV1?=",
            "mcp-param-limit: 42.0",
            "mcp-param-dry: false",
        ]
    );
    assert_eq!(headers_for(Method::ToolsList, "tools/list", b"{}", &[]).len(), 2);
}

proptest! {
    #[test]
    fn encoding_is_undone_by_decoding(value in any::<String>()) {
        let field = encode(&value).into_owned();
        prop_assert!(field.bytes().all(|b| matches!(b, 0x20..=0x7e)));
        prop_assert_eq!(decode(field.as_bytes()), Some(value.into()));
    }

    #[test]
    fn our_own_headers_pass_our_own_check(region in any::<String>(), limit in any::<i32>(), dry in any::<bool>(), name in "[ -~é]{0,20}") {
        let arguments = serde_json::json!({"region": region, "limit": limit, "dry": dry, "place": {"zip": name}});
        let params = format!(r#""name":{},"arguments":{arguments},{META}"#, serde_json::to_string(&name).unwrap());
        let text = message("tools/call", &params);
        let annotated = param_headers_of(SCHEMA.as_bytes()).unwrap();
        let envelope = scanned(&text);
        let made = headers_for(Method::ToolsCall, "tools/call", envelope.params_raw().unwrap(), &annotated);
        let pairs: Vec<(&str, &str)> = made.iter().map(|(n, v)| (n.as_ref(), v.as_str())).collect();
        let headers = Headers::of(&pairs);
        prop_assert!(check(|name| headers.get(name), &envelope, &annotated).is_ok());
    }

    #[test]
    fn no_header_panics(value in proptest::collection::vec(any::<u8>(), 0..60), argument in "[-+0-9.eE]{0,12}") {
        let _ = decode(&value);
        if let Ok(value) = String::from_utf8(value) {
            params_ok(&[("mcp-param-limit", &value)], &format!("{{\"limit\":{argument}}}"));
        }
    }
}
