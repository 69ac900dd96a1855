//! Messages that are meant to be read in two ways, or not to be read at all.

use super::*;
use crate::error::{INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR};

#[test]
fn jr_01_what_is_looked_at_stands_once() {
    for level in [
        r#""method":"x""#,
        r#""m\u0065thod":"x""#,
        r#""id":2"#,
        r#""jsonrpc":"2.0""#,
        r#""Method":"x""#,
        r#""METHOD":"x""#,
        r#""ID":1"#,
        r#""\u0069d":1"#,
        r#""method\u0000":"x""#,
        r#""method\u0000x":"x""#,
        r#""Params":{}"#,
        r#""param\u017f":{}"#,
        r#""paramſ":{}"#,
        r#""other":1,"other":2"#,
        r#""other":1,"o\u0074her":2"#,
    ] {
        assert_eq!(
            refused(request(&format!(",{level}")).as_bytes()),
            INVALID_REQUEST,
            "{level}"
        );
    }
}

#[test]
fn jr_01_params_and_meta_too() {
    for params in [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","n\u0061me":"b"}"#,
        r#"{"name":"a","Name":"b"}"#,
        r#"{"NAME":"b"}"#,
        r#"{"name":"a","name\u0000":"b"}"#,
        r#"{"argument\u017f":{}}"#,
        r#"{"uri":"a","uri":"b"}"#,
        r#"{"arguments":{},"arguments":{}}"#,
        r#"{"_meta":{},"_meta":{}}"#,
        r#"{"_Meta":{}}"#,
        r#"{"cursor":"a","x":1,"cursor":"a"}"#,
        r#"{"progressTo\u212aen":1}"#,
        r#"{"x":1,"x":1}"#,
        r#"{"_meta":{"progressToken":1,"progressToken":2}}"#,
        r#"{"_meta":{"progressToKen":1}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"a","io.modelcontextprotocol/ProtocolVersion":"b"}}"#,
        r#"{"_meta":{"v/a":1,"v/\u0061":1}}"#,
        r#"{"ref":{"type":"ref/prompt","name":"a","name":"b"}}"#,
        r#"{"ref":{"type":"ref/prompt","Name":"b"}}"#,
    ] {
        assert_eq!(
            refused(with_params(params).as_bytes()),
            INVALID_REQUEST,
            "{params}"
        );
    }
}

#[test]
fn jr_01_arguments_are_the_servers_own() {
    let text = with_params(r#"{"name":"a","arguments":{"Name":1,"name":2,"method":3}}"#);
    assert!(scanned(&text).is_ok());
}

#[test]
fn jr_01_many_members_cost_no_more_than_few() {
    let many = |last: &str| {
        let members: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\":0")).collect();
        with_params(&format!("{{{},\"{last}\":0}}", members.join(",")))
    };
    assert!(scanned(&many("fresh")).is_ok());
    assert_eq!(scanned(&many("k7")).unwrap_err(), ScanError::Repeated);
    assert_eq!(scanned(&many("k19999")).unwrap_err(), ScanError::Repeated);
}

#[test]
fn jr_02_depth_bomb_at_the_limit_and_past_it() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    // The message and `params` are two levels, `_meta` a third.
    for build in [nested, objects] {
        assert!(scanned(&with_params(&format!(r#"{{"x":{}}}"#, build(62)))).is_ok());
        assert!(scanned(&with_params(&format!(r#"{{"_meta":{{"x":{}}}}}"#, build(61)))).is_ok());
        for bomb in [
            with_params(&format!(r#"{{"x":{}}}"#, build(63))),
            with_params(&format!(r#"{{"_meta":{{"x":{}}}}}"#, build(62))),
            with_params(&format!(r#"{{"x":{}}}"#, build(10_000))),
            request(&format!(r#","x":{}"#, build(10_000))),
            build(1_000_000),
        ] {
            assert_eq!(
                scanned(&bomb).unwrap_err(),
                ScanError::Json(crate::json::JsonError::TooDeep)
            );
            assert_eq!(refused(bomb.as_bytes()), PARSE_ERROR);
        }
    }
    let id = format!(r#"{{"jsonrpc":"2.0","id":{},"method":"x"}}"#, nested(10_000));
    assert_eq!(refused(id.as_bytes()), PARSE_ERROR);
}

#[test]
fn jr_03_a_batch_is_no_message() {
    for text in [
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        "[]",
        "[1]",
        " [ ] ",
    ] {
        assert_eq!(scanned(text).unwrap_err(), ScanError::Batch, "{text}");
        assert!(is_batch(text.as_bytes()));
        assert_eq!(refused(text.as_bytes()), INVALID_REQUEST);
    }
    assert_eq!(refused(b"[1"), PARSE_ERROR);
    assert!(!is_batch(b"{}"));
}

#[test]
fn jr_03_batches_at_the_limit_and_past_it() {
    let of = |n: usize| format!("[{}]", vec!["{}"; n].join(" , "));
    let split = |text: &str| split_batch(text.as_bytes(), &Limits::CLIENT).map(|m| m.len());
    assert_eq!(split(&of(1)), Ok(1));
    assert_eq!(split(&of(MAX_BATCH)), Ok(MAX_BATCH));
    assert_eq!(split(&of(MAX_BATCH + 1)), Err(ScanError::BatchSize));
    assert_eq!(split("[]"), Err(ScanError::BatchSize));
    assert_eq!(split("{}"), Err(ScanError::NotAnObject));
    assert_eq!(split("[{},]").unwrap_err().code(), PARSE_ERROR);
    assert_eq!(split("[{}] x").unwrap_err().code(), PARSE_ERROR);
}

#[test]
fn jr_04_ids_are_strings_or_integers() {
    let with_id = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#);
    let text = |n: usize| format!("\"{}\"", "x".repeat(n));
    for good in [
        "0".to_owned(),
        "-0".to_owned(),
        "-1".to_owned(),
        "9223372036854775808".to_owned(),
        "9".repeat(MAX_ID_DIGITS),
        format!("-{}", "9".repeat(MAX_ID_DIGITS)),
        "\"\"".to_owned(),
        r#""\ud800""#.to_owned(),
        text(MAX_ID_BYTES),
    ] {
        let message = with_id(&good);
        assert_eq!(
            scanned(&message).unwrap().id_raw(),
            Some(good.as_bytes()),
            "{good}"
        );
    }
    for bad in [
        "null".to_owned(),
        "true".to_owned(),
        "1.0".to_owned(),
        "1e0".to_owned(),
        "1e400".to_owned(),
        "{}".to_owned(),
        "[1]".to_owned(),
        "9".repeat(MAX_ID_DIGITS + 1),
        text(MAX_ID_BYTES + 1),
        text(10 << 20),
    ] {
        assert_eq!(
            scanned(&with_id(&bad)).unwrap_err(),
            ScanError::Id,
            "{}",
            &bad[..bad.len().min(40)]
        );
    }
    assert_eq!(refused(br#"{"jsonrpc":"2.0","id":01,"method":"x"}"#), PARSE_ERROR);
    assert_eq!(
        refused(br#"{"jsonrpc":"2.0","id":null,"result":{}}"#),
        INVALID_REQUEST
    );
}

#[test]
fn jr_05_only_json_is_json() {
    for text in [
        "",
        " ",
        "{",
        "nul",
        r#"{"jsonrpc":"2.0","id":NaN,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":Infinity,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x",}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x"} {}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x"/* c */}"#,
        r#"{'jsonrpc':'2.0','id':1,'method':'x'}"#,
        r#"{jsonrpc:"2.0"}"#,
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\nb\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\u{0}b\"}",
        "\u{b}{}",
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":"\x41"}"#,
        r#"{"a":"\u12g4"}"#,
        r#"{"a"}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[}]}"#,
        r#"{"a":{]}}"#,
    ] {
        assert_eq!(refused(text.as_bytes()), PARSE_ERROR, "{text}");
    }
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(refused(&utf16), PARSE_ERROR);
}

#[test]
fn jr_06_broken_text_is_refused_or_untouched() {
    for bytes in [
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".as_slice(),
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc0\xaf\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xe2\x82\"}",
    ] {
        assert_eq!(refused(bytes), PARSE_ERROR);
    }
    // A lone surrogate has no value: as a method or key it is refused, as a name it is no name, elsewhere it passes.
    assert_eq!(
        refused(br#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#),
        INVALID_REQUEST
    );
    assert_eq!(refused(with_params(r#"{"\ud800":1}"#).as_bytes()), PARSE_ERROR);
    let text = with_params(r#"{"name":"a\ud800","arguments":{"text":"\udfff"}}"#);
    let call = scanned(&text).unwrap();
    let params = call.params.unwrap();
    assert_eq!(params.name(), None);
    assert_eq!(params.arguments(), Some(br#"{"text":"\udfff"}"#.as_slice()));
    // A NUL in a name is a character like any other, and makes it another name.
    let text = with_params(r#"{"name":"a\u0000"}"#);
    assert_eq!(
        scanned(&text).unwrap().params.unwrap().name().unwrap().value,
        "a\0"
    );
}

#[test]
fn jr_08_malformed_envelopes() {
    for text in [
        r#"{"id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2","id":1,"method":"x"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"x"}"#,
        r#"{"jsonrpc":"\u0032.0","id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":5}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0"}"#,
        "{}",
        "1",
        "\"x\"",
        "null",
    ] {
        assert_eq!(refused(text.as_bytes()), INVALID_REQUEST, "{text}");
    }
    assert!(
        scanned(&request(r#","x-vendor":[1],"y":null"#)).is_ok(),
        "further members are none of our business"
    );
}

#[test]
fn jr_11_meta_at_the_limit_and_past_it() {
    let overhead = r#"{"x":""}"#.len();
    let of = |bytes: usize| {
        with_params(&format!(
            r#"{{"_meta":{{"x":"{}"}}}}"#,
            "m".repeat(bytes - overhead)
        ))
    };
    assert!(scanned(&of(Limits::CLIENT.meta_bytes)).is_ok());
    assert_eq!(
        refused(of(Limits::CLIENT.meta_bytes + 1).as_bytes()),
        INVALID_PARAMS
    );
    assert_eq!(refused(of(1 << 20).as_bytes()), INVALID_PARAMS);
}

#[test]
fn jr_15_messages_fit_their_methods() {
    for (text, fits) in [
        (r#"{"jsonrpc":"2.0","method":"tools/call"}"#, false),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled"}"#,
            false,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, true),
        (r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#, true),
        (r#"{"jsonrpc":"2.0","method":"x"}"#, true),
    ] {
        assert_eq!(scanned(text).unwrap().fits_its_method(), fits, "{text}");
    }
}
