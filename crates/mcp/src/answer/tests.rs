use serde_json::{Value, json};

use super::*;
use crate::method::Method;
use crate::revision::Era;

/// Who a legacy server's result is told to come from.
const INFO: &[u8] = br#"{"name":"s"}"#;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(message: &[u8]) -> Value {
    serde_json::from_slice::<Value>(message).unwrap()["error"]["code"].clone()
}

fn failed(code: i32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":"a","error":{{"code":{code},"message":"m","data":{{"uri":"x"}},"v":1}}}}"#
    )
}

#[test]
fn p_81_what_only_modern_clients_know_is_taken_off() {
    for (modern, legacy) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[ 1.0 ],"ttlMs":5,"cacheScope":"public","v":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[ 1.0 ],"v":1}}"#,
        ),
        (
            r#"{"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{}},"resultType":"complete"},"id":1}"#,
            r#"{"result":{},"id":1}"#,
        ),
        (
            r#"{"id":1,"result":{"_meta":{"v/x":1,"io.modelcontextprotocol/serverInfo":{}},"tools":[]}}"#,
            r#"{"id":1,"result":{"_meta":{"v/x":1},"tools":[]}}"#,
        ),
    ] {
        assert_eq!(text(&to_legacy(modern.as_bytes(), Method::ToolsCall)), legacy);
    }
    let plain = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"resultType":"x"}]}}"#;
    assert!(matches!(
        to_legacy(plain, Method::ToolsCall),
        std::borrow::Cow::Borrowed(_)
    ));
}

#[test]
fn p_34_p_36_p_45_what_modern_clients_need_is_put_on() {
    for (method, bare, modern, legacy) in [
        (
            Method::ToolsCall,
            r#"{"id":1,"result":{"content":[ ]}}"#,
            r#"{"id":1,"result":{"resultType":"complete","content":[ ]}}"#,
            r#"{"id":1,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}},"content":[ ]}}"#,
        ),
        (
            Method::ToolsList,
            r#"{"id":1,"result":{"tools":[]}}"#,
            r#"{"id":1,"result":{"resultType":"complete","cacheScope":"private","ttlMs":0,"tools":[]}}"#,
            r#"{"id":1,"result":{"resultType":"complete","cacheScope":"private","ttlMs":0,"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}},"tools":[]}}"#,
        ),
        (
            Method::Complete,
            r#"{"id":1,"result":{"_meta":{"v/x":1}}}"#,
            r#"{"id":1,"result":{"resultType":"complete","_meta":{"v/x":1}}}"#,
            r#"{"id":1,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"},"v/x":1}}}"#,
        ),
        (
            Method::ResourcesRead,
            r#"{"id":1,"result":{"ttlMs":9,"contents":[]}}"#,
            r#"{"id":1,"result":{"resultType":"complete","cacheScope":"private","ttlMs":9,"contents":[]}}"#,
            r#"{"id":1,"result":{"resultType":"complete","cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}},"ttlMs":9,"contents":[]}}"#,
        ),
    ] {
        assert_eq!(
            text(&to_modern(bare.as_bytes(), method, Era::Modern, INFO)),
            modern
        );
        assert_eq!(
            text(&to_modern(bare.as_bytes(), method, Era::Legacy, INFO)),
            legacy
        );
    }
    // A legacy server that happens to have such a member means nothing by it.
    let odd = to_modern(
        br#"{"id":1,"result":{"resultType":"odd"}}"#,
        Method::ToolsCall,
        Era::Legacy,
        INFO,
    );
    assert!(text(&odd).contains(r#""resultType":"complete""#));
}

#[test]
fn p_36_p_38_hints_are_durations_and_for_nobody_else() {
    for (hints, expected) in [
        (
            r#""ttlMs":9,"cacheScope":"private""#,
            r#""ttlMs":9,"cacheScope":"private""#,
        ),
        (
            r#""ttlMs":9,"cacheScope":"public""#,
            r#""ttlMs":9,"cacheScope":"private""#,
        ),
        (
            r#""ttlMs":-1,"cacheScope":5"#,
            r#""ttlMs":0,"cacheScope":"private""#,
        ),
        (
            r#""ttlMs":1.5,"cacheScope":"private""#,
            r#""ttlMs":0,"cacheScope":"private""#,
        ),
    ] {
        let message =
            |hints: &str| format!(r#"{{"id":1,"result":{{"resultType":"complete",{hints},"contents":[]}}}}"#);
        let answer = message(hints);
        let answer = to_modern(answer.as_bytes(), Method::ResourcesRead, Era::Modern, INFO);
        assert_eq!(text(&answer), message(expected));
    }
}

#[test]
fn a_modern_servers_answer_passes_as_it_is() {
    for (method, message) in [
        (
            Method::ToolsCall,
            r#"{"id":1,"result":{"resultType":"complete","content":[]}}"#,
        ),
        (
            Method::ToolsCall,
            r#"{"id":1,"result":{"resultType":"input_required","requestState":"s"}}"#,
        ),
        (
            Method::ResourcesRead,
            r#"{"id":1,"result":{"resultType":"input_required","requestState":"s"}}"#,
        ),
        (
            Method::ToolsList,
            r#"{"id":1,"result":{"resultType":"complete","ttlMs":1,"cacheScope":"private","tools":[]}}"#,
        ),
        (
            Method::ToolsCall,
            r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#,
        ),
        (Method::ToolsCall, "not json"),
    ] {
        let passed = to_modern(message.as_bytes(), method, Era::Modern, INFO);
        assert!(matches!(passed, std::borrow::Cow::Borrowed(_)), "{message}");
    }
}

#[test]
fn p_35_results_of_unknown_types_are_failures() {
    for (method, kind) in [
        (Method::ToolsCall, r#""task""#),
        (Method::ToolsCall, r#""Complete""#),
        (Method::ToolsCall, "5"),
        (Method::ToolsList, r#""input_required""#),
    ] {
        let message = format!(r#"{{"id":1,"result":{{"resultType":{kind}}}}}"#);
        let answer = to_modern(message.as_bytes(), method, Era::Modern, INFO);
        assert_eq!(code(&answer), -32603, "{kind}");
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["id"], 1);
        assert_eq!(code(&to_legacy(message.as_bytes(), method)), -32603, "{kind}");
    }
}

#[test]
fn p_42_p_96_error_codes_are_those_of_the_clients_era() {
    for (method, from, code_in, code_out) in [
        (Method::ResourcesRead, Era::Legacy, -32002, -32602),
        (Method::ResourcesRead, Era::Modern, -32002, -32602),
        (Method::ToolsCall, Era::Legacy, -32042, -32603),
        (Method::ToolsCall, Era::Legacy, -32000, -32603),
        (Method::ToolsCall, Era::Legacy, -32019, -32603),
        (Method::ToolsCall, Era::Legacy, -32021, -32603),
        (Method::ToolsCall, Era::Modern, -32021, -32021),
        (Method::ToolsCall, Era::Modern, -32020, -32603),
        (Method::ToolsCall, Era::Modern, -32022, -32603),
        (Method::ToolsCall, Era::Modern, -32099, -32603),
        (Method::ToolsCall, Era::Legacy, -32100, -32100),
        (Method::ToolsCall, Era::Legacy, -32602, -32602),
        (Method::ToolsCall, Era::Legacy, -32603, -32603),
        (Method::ToolsCall, Era::Legacy, 7, 7),
    ] {
        let message = failed(code_in);
        let answer = to_modern(message.as_bytes(), method, from, INFO);
        assert_eq!(code(&answer), code_out, "{code_in} {from:?}");
        let value: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (&value["id"], &value["error"]["message"]),
            (&json!("a"), &json!("m"))
        );
        let kept = if code_out == code_in || code_out == -32602 {
            &value["error"]["data"]
        } else {
            &value["error"]["data"]["original"]["data"]
        };
        assert_eq!(kept, &json!({"uri": "x"}), "{code_in}");
    }
    let lacks =
        br#"{"id":1,"error":{"code":-32021,"message":"m","data":{"requiredCapabilities":{"sampling":{}}}}}"#;
    assert_eq!(
        code(&to_modern(lacks, Method::ToolsCall, Era::Legacy, INFO)),
        -32021
    );
    for (method, code_in, code_out) in [
        (Method::ResourcesRead, -32602, -32002),
        (Method::ToolsCall, -32602, -32602),
        (Method::ToolsCall, -32020, -32603),
        (Method::ToolsCall, -32021, -32603),
        (Method::ToolsCall, -32022, -32603),
        (Method::ToolsCall, -32001, -32001),
    ] {
        assert_eq!(
            code(&to_legacy(failed(code_in).as_bytes(), method)),
            code_out,
            "{code_in}"
        );
    }
}

#[test]
fn asking_back_is_told_quickly_and_surely() {
    for (message, asks) in [
        (
            r#"{"id":1,"result":{"resultType":"input_required","requestState":"s"}}"#,
            true,
        ),
        (
            r#"{"result":{"content":[],"resultType":"input_required"},"id":1}"#,
            true,
        ),
        (
            r#"{"id":1,"result":{"resultType":"complete","content":[{"text":"input_required"}]}}"#,
            false,
        ),
        (
            r#"{"id":1,"result":{"content":[{"resultType":"input_required"}]}}"#,
            false,
        ),
        (r#"{"id":1,"error":{"message":"input_required"}}"#, false),
        ("input_required", false),
    ] {
        let kind = result_type(message.as_bytes());
        assert_eq!(kind == Some(INPUT_REQUIRED), asks, "{message}");
    }
    let long = "input_required ".repeat(1000);
    let text = format!(r#""content":[{{"type":"text","text":"{long}"}}]"#);
    for (message, asks) in [
        (
            format!(r#"{{"id":1,"result":{{{text},"resultType":"complete"}}}}"#),
            false,
        ),
        (
            format!(r#"{{"id":1,"result":{{"resultType":"complete",{text}}}}}"#),
            false,
        ),
        (
            format!(r#"{{"id":1,"result":{{{text},"resultType":"input_required"}}}}"#),
            true,
        ),
        (
            format!(r#"{{"id":1,"result":{{"resultType":"input_required",{text}}}}}"#),
            true,
        ),
        (
            format!(
                r#"{{"id":1,"result":{{"resultType":"input_required",{text},"x":{{"a":1,"resultType":"complete"}}}}}}"#
            ),
            true,
        ),
        (format!(r#"{{"id":1,"result":{{{text}}}}}"#), false),
    ] {
        assert_eq!(
            result_type(message.as_bytes()) == Some(INPUT_REQUIRED),
            asks,
            "{}",
            &message[message.len() - 60..]
        );
    }
}

#[test]
fn what_is_asked_is_read_and_written() {
    let params = br#"{"mode":"form","message":"?"}"#.as_slice();
    let raw = input_required_result(
        &[
            ("k1", "elicitation/create", Some(params)),
            ("k\"2", "roots/list", None),
        ],
        Some("gw1.\u{e9}"),
    );
    let read = InputRequired::parse(&raw).unwrap();
    assert_eq!(read.state.as_deref(), Some("gw1.\u{e9}"));
    let requests: Vec<_> = read
        .requests
        .iter()
        .map(|r| (r.key.as_ref(), r.method, r.params))
        .collect();
    assert_eq!(
        requests,
        [
            ("k1", Method::ElicitationCreate, Some(params)),
            ("k\"2", Method::RootsList, None)
        ]
    );
    let state_only = input_required_result(&[], Some(""));
    assert_eq!(
        InputRequired::parse(&state_only).unwrap().state.as_deref(),
        Some("")
    );
    assert!(!text(&state_only).contains("inputRequests"));
}

#[test]
fn malformed_questions_are_refused() {
    for (result, wrong) in [
        (r#"{"resultType":"input_required"}"#, InvalidAsk::Malformed),
        (r#"{"inputRequests":{}}"#, InvalidAsk::Malformed),
        (r#"{"inputRequests":[]}"#, InvalidAsk::Malformed),
        (r#"{"requestState":5}"#, InvalidAsk::Malformed),
        (
            r#"{"inputRequests":{"a":{"method":"tools/call"}}}"#,
            InvalidAsk::Method,
        ),
        (
            r#"{"inputRequests":{"a":{"method":"roots/list","params":[]}}}"#,
            InvalidAsk::Malformed,
        ),
        (
            r#"{"inputRequests":{"a":{"method":"roots/list"},"a":{"method":"roots/list"}}}"#,
            InvalidAsk::Malformed,
        ),
        (r#"{"inputRequests":{"a":{}}}"#, InvalidAsk::Malformed),
        ("[]", InvalidAsk::Malformed),
    ] {
        assert_eq!(InputRequired::parse(result.as_bytes()), Err(wrong), "{result}");
    }
    let many = |n: usize| {
        let entries: Vec<String> = (0..n)
            .map(|i| format!(r#""{i}":{{"method":"roots/list"}}"#))
            .collect();
        format!(r#"{{"inputRequests":{{{}}}}}"#, entries.join(","))
    };
    assert!(InputRequired::parse(many(64).as_bytes()).is_ok());
    assert!(InputRequired::parse(many(65).as_bytes()).is_err());
}

#[test]
fn answers_are_read() {
    let answers = input_responses(br#"{"k":{"action":"accept"},"\u006c":[]}"#).unwrap();
    let pairs: Vec<_> = answers.iter().map(|a| (a.key.as_ref(), a.result)).collect();
    assert_eq!(pairs, [("k", br#"{"action":"accept"}"#.as_slice()), ("l", b"[]")]);
    assert!(input_responses(br#"{"k":1,"k":2}"#).is_err());
    assert!(input_responses(b"[]").is_err());
}

#[test]
fn a_legacy_server_sees_nothing_of_the_answers() {
    for (before, after) in [
        (
            r#"{"name":"a","arguments":{"requestState":1}}"#,
            r#"{"name":"a","arguments":{"requestState":1}}"#,
        ),
        (
            r#"{"name":"a","inputResponses":{},"x":1.0,"requestState":"s"}"#,
            r#"{"name":"a","x":1.0}"#,
        ),
    ] {
        assert_eq!(text(&without_input(before.as_bytes())), after);
    }
}

fn rewritten(result: &str, method: Method) -> Option<String> {
    let visible = |uri: &str| uri.starts_with("db:").then(|| format!("git+{uri}"));
    rewrite_uris(result.as_bytes(), method, visible).map(|bytes| text(&bytes).to_owned())
}

#[test]
fn links_in_results_lead_back() {
    for (method, before, after) in [
        (
            Method::ToolsCall,
            r#"{"content":[{"type":"text","text":"resource db:x"},{"type":"resource_link","uri":"db:1","name":"n"},{"type":"resource","resource":{"text":"t","uri" : "d\u0062:2"}},{"type":"resource_link","uri":"file:3"}],"structuredContent":{"uri":"db:4"}}"#,
            r#"{"content":[{"type":"text","text":"resource db:x"},{"type":"resource_link","uri":"git+db:1","name":"n"},{"type":"resource","resource":{"text":"t","uri" : "git+db:2"}},{"type":"resource_link","uri":"file:3"}],"structuredContent":{"uri":"db:4"}}"#,
        ),
        (
            Method::PromptsGet,
            r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"db:1"}},{"role":"user","content":{"type":"text"}}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"git+db:1"}},{"role":"user","content":{"type":"text"}}]}"#,
        ),
        (
            Method::ResourcesRead,
            r#"{"contents":[{"uri":"db:1","text":""},{"uri":"x:2"}]}"#,
            r#"{"contents":[{"uri":"git+db:1","text":""},{"uri":"x:2"}]}"#,
        ),
    ] {
        assert_eq!(rewritten(before, method).as_deref(), Some(after));
    }
    for (method, untouched) in [
        (Method::ToolsCall, r#"{"content":[{"type":"text","text":"x"}]}"#),
        (
            Method::ToolsCall,
            r#"{"content":[{"type":"resource_link","uri":"file:1"}]}"#,
        ),
        (Method::ToolsCall, r#"{"content":"resource"}"#),
        (
            Method::ToolsList,
            r#"{"content":[{"type":"resource_link","uri":"db:1"}]}"#,
        ),
        (Method::ToolsCall, "resource"),
    ] {
        assert_eq!(rewritten(untouched, method), None, "{untouched}");
    }
}

#[test]
fn one_odd_block_does_not_hide_the_others() {
    let before = r#"{"content":[5,{"type":"resource_link"},{"type":"resource","resource":7},{"type":"resource_link","uri":"db:1"}]}"#;
    assert!(rewritten(before, Method::ToolsCall).unwrap().contains("git+db:1"));
}
