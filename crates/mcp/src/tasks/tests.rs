//! Tables of both forms.

use serde_json::{Value, json};

use super::*;
use crate::revision::Era;

const BOUNDS: Bounds = Bounds {
    ttl: 60_000,
    poll: 500,
};

fn value(raw: &[u8]) -> Value {
    serde_json::from_slice(raw).expect("JSON")
}

#[test]
fn the_words_of_a_state_are_read_and_written() {
    for (status, terminal) in [
        (Status::Working, false),
        (Status::InputRequired, false),
        (Status::Completed, true),
        (Status::Failed, true),
        (Status::Cancelled, true),
    ] {
        assert_eq!(Status::parse(status.as_str()), Some(status));
        assert_eq!(status.is_terminal(), terminal, "{status:?}");
    }
    assert_eq!(Status::parse("submitted"), None);
}

#[test]
fn a_legacy_task_becomes_a_modern_state() {
    let raw =
        br#"{"taskId":"t1","status":"working","statusMessage":"a\nb","createdAt":"2026-01-01T00:00:00Z",
        "lastUpdatedAt":"2026-01-01T00:00:01Z","ttl":30000.0,"pollInterval":100}"#;
    let task = Task::read(raw, Era::Legacy).expect("a task");
    assert_eq!(
        value(&task.modern("sealed", BOUNDS, Some("task"), Detail::None)),
        json!({"resultType": "task", "taskId": "sealed", "status": "working", "statusMessage": "a\nb",
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:01Z", "ttlMs": 30000,
            "pollIntervalMs": 500})
    );
    let done = task.modern("sealed", BOUNDS, None, Detail::Result(br#"{"content":[]}"#));
    assert_eq!(value(&done)["result"], json!({"content": []}));
    assert!(value(&done).get("resultType").is_none());
}

#[test]
fn what_is_kept_without_end_is_kept_to_the_bound() {
    for (ttl, told) in [
        ("null", 60_000),
        ("60000", 60_000),
        ("60001", 60_000),
        ("59999", 59_999),
    ] {
        let raw = format!(r#"{{"taskId":"t","status":"working","ttlMs":{ttl},"x":1.50}}"#);
        let out = renamed(raw.as_bytes(), Era::Modern, "s", BOUNDS);
        assert_eq!(value(&out)["ttlMs"], told, "{ttl}");
        assert_eq!(value(&out)["taskId"], "s");
        assert!(
            String::from_utf8_lossy(&out).contains(r#""x":1.50"#),
            "the rest stays"
        );
    }
    for (poll, told) in [(499, 500), (500, 500), (501, 501)] {
        let raw = format!(r#"{{"taskId":"t","status":"working","ttl":1,"pollInterval":{poll}}}"#);
        let out = renamed(raw.as_bytes(), Era::Legacy, "s", BOUNDS);
        assert_eq!(value(&out)["pollInterval"], told);
    }
}

#[test]
fn what_lacks_id_or_status_is_no_task() {
    for raw in [
        r"{}",
        r#"{"taskId":"t"}"#,
        r#"{"taskId":1,"status":"working"}"#,
        r#"{"taskId":"t","status":"running"}"#,
        r"[]",
    ] {
        assert_eq!(Task::read(raw.as_bytes(), Era::Modern), None, "{raw}");
        assert_eq!(renamed(raw.as_bytes(), Era::Modern, "s", BOUNDS), raw.as_bytes());
    }
}

#[test]
fn a_created_task_is_told_from_other_results() {
    let modern = br#"{"resultType": "task", "taskId": "t", "status": "working"}"#;
    assert_eq!(created(modern, Era::Modern), Some(&modern[..]));
    assert_eq!(created(modern, Era::Legacy), None);
    let legacy = br#"{"task": {"taskId": "t"}}"#;
    assert_eq!(created(legacy, Era::Legacy), Some(&br#"{"taskId": "t"}"#[..]));
    assert_eq!(created(legacy, Era::Modern), None);
    let said = br#"{"content":[{"type":"text","text":"resultType task"}],"resultType":"complete"}"#;
    assert_eq!(created(said, Era::Modern), None);
}

#[test]
fn the_related_task_is_read_replaced_and_taken_out() {
    let raw = br#"{"_meta":{"a/b":1.0,"io.modelcontextprotocol/related-task":{"taskId":"t"}},"message":"m"}"#;
    assert_eq!(related_task(raw).as_deref(), Some("t"));
    let other = with_related_task(raw, Some("s\""));
    assert_eq!(related_task(&other).as_deref(), Some("s\""));
    assert!(String::from_utf8_lossy(&other).contains(r#""a/b":1.0"#));
    assert_eq!(
        with_related_task(raw, None),
        br#"{"_meta":{"a/b":1.0},"message":"m"}"#
    );
    let only = br#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}},"message":"m"}"#;
    assert_eq!(with_related_task(only, None), br#"{"message":"m"}"#);
    assert_eq!(with_related_task(b"{}", None), b"{}");
    assert_eq!(
        related_task(&with_related_task(b"{}", Some("t"))).as_deref(),
        Some("t")
    );
    assert_eq!(related_task(br#"{"_meta":{}}"#), None);
}

#[test]
fn tools_and_servers_say_whether_they_take_tasks() {
    for (tool, support) in [
        (r#"{"name":"a"}"#, TaskSupport::Forbidden),
        (r#"{"name":"a","execution":{}}"#, TaskSupport::Forbidden),
        (
            r#"{"execution":{"taskSupport":"forbidden"}}"#,
            TaskSupport::Forbidden,
        ),
        (
            r#"{"execution":{"taskSupport":"optional"}}"#,
            TaskSupport::Optional,
        ),
        (
            r#"{"execution":{"taskSupport":"required"}}"#,
            TaskSupport::Required,
        ),
        (
            r#"{"execution":{"taskSupport":"sometimes"}}"#,
            TaskSupport::Forbidden,
        ),
    ] {
        assert_eq!(TaskSupport::of(tool.as_bytes()), support, "{tool}");
    }
    let none: &[u8] = br#"{"requests":{"tools":{"call":{}}}}"#;
    let cancels: &[u8] = br#"{"cancel":{}}"#;
    for (servers, cancel) in [(vec![none], false), (vec![none, cancels], true)] {
        let capability = legacy_capability(servers);
        assert!(takes_calls(capability));
        assert_eq!(value(capability).get("cancel").is_some(), cancel);
    }
    for capability in [r"{}", r#"{"requests":{}}"#, r#"{"requests":{"tools":{}}}"#] {
        assert!(!takes_calls(capability.as_bytes()), "{capability}");
    }
}
