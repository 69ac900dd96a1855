mod attacks;
mod generated;

use super::*;

fn scanned(message: &str) -> Result<Envelope<'_>, ScanError> {
    scan(message.as_bytes(), &Limits::CLIENT)
}

fn refused(message: &[u8]) -> i32 {
    scan(message, &Limits::CLIENT)
        .expect_err(&String::from_utf8_lossy(message))
        .code()
}

/// A request with these further members.
fn request(members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call"{members}}}"#)
}

fn with_params(params: &str) -> String {
    request(&format!(r#","params":{params}"#))
}

#[test]
fn a_call_is_taken_apart() {
    let text = r#" {"jsonrpc" : "2.0","method":"tools\/call","params":{"x":[1,{"name":"no"}],"name":"a\u0062c","arguments":{"name":2},"_meta":{"progressToken":7,"v/x":1}},"id":"\u0061"} "#;
    let call = scanned(text).unwrap();
    assert_eq!(call.kind, Kind::Request);
    assert_eq!(call.id_raw(), Some(br#""\u0061""#.as_slice()));
    assert_eq!(call.called(), Method::ToolsCall);
    let params = call.params.as_ref().unwrap();
    assert_eq!(params.name().unwrap().value, "abc");
    assert_eq!(params.name().unwrap().span.of(text.as_bytes()), br#""a\u0062c""#);
    assert_eq!(params.arguments(), Some(br#"{"name":2}"#.as_slice()));
    assert_eq!(params.progress_token(), Some(b"7".as_slice()));
    assert_eq!(call.meta().unwrap().raw(), br#"{"progressToken":7,"v/x":1}"#);
    assert!(call.params_raw().unwrap().starts_with(br#"{"x""#) && call.params_raw().unwrap().ends_with(b"}"));
}

#[test]
fn kinds_are_told_by_their_members() {
    for (text, kind) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, Kind::Request),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{}}"#,
            Kind::Notification,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Response),
        (r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, Kind::Response),
        (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, Kind::Response),
        (r#"{"jsonrpc":"2.0","error":{}}"#, Kind::Response),
    ] {
        assert_eq!(scanned(text).unwrap().kind, kind, "{text}");
    }
    assert_eq!(
        scanned(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#).unwrap().id,
        None
    );
}

#[test]
fn what_is_completed_is_read() {
    for (reference, found) in [
        (r#"{"type":"ref/prompt","name":"p"}"#, Some("p")),
        (r#"{"type":"ref/resource","uri":"r"}"#, Some("r")),
        (r#"{"type":"ref/prompt","uri":"r"}"#, None),
        (r#"{"type":"ref/x","name":"p"}"#, None),
        (r#"{"name":"p"}"#, None),
        ("[]", None),
        ("5", None),
    ] {
        let text = with_params(&format!(r#"{{"ref":{reference}}}"#));
        let reference = scanned(&text).unwrap().params.unwrap().reference();
        let value = reference.as_ref().map(|r| match r {
            Reference::Prompt(text) | Reference::Resource(text) => &*text.value,
        });
        assert_eq!(value, found, "{text}");
    }
}

#[test]
fn params_alone_are_counted_from_their_own_start() {
    let raw = br#"{"name":"x","_meta":{"progressToken":"t"}}"#;
    let params = scan_params(raw, &Limits::CLIENT).unwrap();
    assert_eq!(params.raw(), raw);
    assert_eq!(params.name().unwrap().span.of(raw), b"\"x\"");
    assert_eq!(params.progress_token(), Some(b"\"t\"".as_slice()));
    assert!(scan_params(b"[]", &Limits::CLIENT).is_err());
    assert!(scan_params(b"{} ,", &Limits::CLIENT).is_err());
}

#[test]
fn a_progress_token_is_a_string_or_integer() {
    for (raw, token) in [
        ("1", true),
        ("\"a\"", true),
        ("1.5", false),
        ("null", false),
        ("{}", false),
    ] {
        let text = with_params(&format!(r#"{{"_meta":{{"progressToken":{raw}}}}}"#));
        assert_eq!(
            scanned(&text).unwrap().params.unwrap().progress_token().is_some(),
            token,
            "{raw}"
        );
    }
    let text = with_params(r#"{"_meta":5}"#);
    assert!(scanned(&text).unwrap().meta().is_none());
}
