//! What it costs to find the envelope of a message, beside the same with serde_json's borrowed raw values; and what the
//! other steps of a call cost.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sallyport_mcp::answer::to_modern;
use sallyport_mcp::jsonrpc::{Limits, scan};
use sallyport_mcp::meta::{MetaFor, rewrite};
use sallyport_mcp::mirror::{HeaderField, admit, headers_for};
use sallyport_mcp::{Era, Method, Revision, Spoken};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: Option<&'a str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

fn three_raw_passes(bytes: &[u8]) -> usize {
    let Ok(outer) = serde_json::from_slice::<Outer<'_>>(bytes) else {
        return 0;
    };
    let params = outer
        .params
        .and_then(|p| serde_json::from_str::<Params<'_>>(p.get()).ok());
    let Some(params) = params else {
        return 0;
    };
    let meta = params
        .meta
        .and_then(|m| serde_json::from_str::<BTreeMap<&str, &RawValue>>(m.get()).ok());
    outer.method.map_or(0, str::len)
        + outer.id.map_or(0, |id| id.get().len())
        + params.name.map_or(0, str::len)
        + params.arguments.map_or(0, |a| a.get().len())
        + meta.map_or(0, |m| m.len())
}

fn own(bytes: &[u8]) -> usize {
    let Ok(envelope) = scan(bytes, &Limits::CLIENT) else {
        return 0;
    };
    let name = envelope
        .params
        .as_ref()
        .and_then(|p| p.name())
        .map_or(0, |n| n.value.len());
    envelope.method_name().len() + name
}

/// A modern call with these raw arguments.
fn call(arguments: &str) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":"a1","method":"tools/call","params":{{"name":"crm__lookup","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"elicitation":{{}}}},"progressToken":7}}}}}}"#
    )
    .into_bytes()
}

fn messages() -> [(&'static str, Vec<u8>); 3] {
    let one = |n: usize| format!(r#"{{"id":{n},"name":"item {n}","on":true,"tags":["a","b"],"x":1.5}}"#);
    let dense: Vec<String> = (0..1700).map(one).collect();
    [
        (
            "call",
            call(r#"{"region":"eu-1","q":"what is the weather","limit":10}"#),
        ),
        (
            "string",
            call(&format!(
                r#"{{"text":"{}"}}"#,
                "all work and no play ".repeat(4877)
            )),
        ),
        ("objects", call(&format!(r#"{{"items":[{}]}}"#, dense.join(",")))),
    ]
}

fn envelopes(criterion: &mut Criterion) {
    for (name, message) in messages() {
        let mut group = criterion.benchmark_group(format!("{name} of {} bytes", message.len()));
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function("scan", |b| b.iter(|| own(black_box(&message))));
        group.bench_function("serde_json", |b| b.iter(|| three_raw_passes(black_box(&message))));
        group.finish();
    }
}

/// The other steps of one modern call, each by itself.
fn steps(criterion: &mut Criterion) {
    let message = call(r#"{"region":"eu-1","q":"what is the weather","limit":10}"#);
    let Ok(envelope) = scan(&message, &Limits::CLIENT) else {
        return;
    };
    let get = |name: &str| match name {
        "mcp-protocol-version" => HeaderField::Single(b"2026-07-28"),
        "mcp-method" => HeaderField::Single(b"tools/call"),
        "mcp-name" => HeaderField::Single(b"crm__lookup"),
        _ => HeaderField::Missing,
    };
    let params = envelope.params_raw().unwrap_or_default();
    let to = MetaFor::Modern {
        version: Revision::V2026_07_28,
        client_info: None,
        capabilities: b"{}",
        log_level: None,
    };
    let answer = br#"{"jsonrpc":"2.0","id":"a1","result":{"resultType":"complete","content":[{"type":"text","text":"eight degrees and rain, as it was yesterday"}]}}"#;
    let mut group = criterion.benchmark_group("steps");
    group.bench_function("headers against body", |b| {
        b.iter(|| admit(get, black_box(&envelope), Spoken::ALL).is_ok())
    });
    group.bench_function("meta for the next hop", |b| {
        b.iter(|| rewrite(black_box(params), to))
    });
    group.bench_function("headers for the next hop", |b| {
        b.iter(|| headers_for(Method::ToolsCall, "tools/call", black_box(params), &[]));
    });
    group.bench_function("answer to a modern client", |b| {
        b.iter(|| to_modern(black_box(answer), Method::ToolsCall, Era::Modern, b"{}").len());
    });
    group.finish();
}

criterion_group!(benches, envelopes, steps);
criterion_main!(benches);
