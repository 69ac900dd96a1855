use bytes::Bytes;
use serde_json::json;

use super::*;

fn page(kind: ListKind, result: &str) -> Result<Page, PageError> {
    parse_page(kind, &Bytes::copy_from_slice(result.as_bytes()))
}

fn keys(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| &*item.key).collect()
}

fn reasons(page: &Page) -> Vec<ItemError> {
    page.dropped.iter().map(|d| d.reason).collect()
}

fn tools(items: &[&str]) -> Page {
    page(ListKind::Tools, &format!(r#"{{"tools":[{}]}}"#, items.join(","))).unwrap()
}

#[test]
fn pages_are_read_with_their_items_as_they_are() {
    let read = page(
        ListKind::Tools,
        r#"{"resultType":"complete","tools":[{"name":"a","inputSchema":{ },"v":1.0},{"n\u0061me":"\u0062","inputSchema":{}}],"nextCursor":"","ttlMs":500,"cacheScope":"public"}"#,
    )
    .unwrap();
    assert_eq!(keys(&read.items), ["a", "b"]);
    assert_eq!(read.items[0].raw, r#"{"name":"a","inputSchema":{ },"v":1.0}"#);
    assert_eq!(
        read.next_cursor.as_deref(),
        Some(""),
        "the empty string is a cursor"
    );
    assert_eq!((read.ttl_ms, read.scope), (500, CacheScope::Public));
    let plain = page(
        ListKind::Templates,
        r#"{"resourceTemplates":[{"uriTemplate":"a:{b}"}],"ttlMs":-1}"#,
    )
    .unwrap();
    assert_eq!(
        (plain.ttl_ms, plain.scope, plain.next_cursor),
        (0, CacheScope::Private, None)
    );
    assert_eq!(keys(&plain.items), ["a:{b}"]);
}

#[test]
fn what_is_no_page_is_refused() {
    for result in [
        "{}",
        "[]",
        r#"{"tools":{}}"#,
        r#"{"tools":null}"#,
        r#"{"tools":[],"nextCursor":5}"#,
        r#"{"tools":[],"tools":[{"name":"a"}]}"#,
        r#"{"prompts":[]}"#,
    ] {
        assert!(page(ListKind::Tools, result).is_err(), "{result}");
    }
}

#[test]
fn a_bad_item_does_not_spoil_the_others() {
    let read = tools(&[
        r#"{"name":"good","inputSchema":{}}"#,
        "5",
        "{}",
        r#"{"name":5,"inputSchema":{}}"#,
        r#"{"name":"a b","inputSchema":{}}"#,
        r#"{"name":"\ud800","inputSchema":{}}"#,
        r#"{"name":"no-schema"}"#,
        r#"{"name":"bad-schema","inputSchema":[]}"#,
        r#"{"name":"one","name":"two","inputSchema":{}}"#,
        r#"{"name":"fine","inputSchema":{}}"#,
    ]);
    use ItemError as E;
    assert_eq!(keys(&read.items), ["good", "fine"]);
    assert_eq!(
        reasons(&read),
        [
            E::Malformed,
            E::Malformed,
            E::Malformed,
            E::Name,
            E::Malformed,
            E::Schema,
            E::Schema,
            E::Malformed
        ]
    );
}

#[test]
fn td_04_confusable_tools_are_dropped_and_logged_plainly() {
    let read = tools(&[
        r#"{"name":"se\u0430rch\u202e\n","inputSchema":{}}"#,
        &json!({"name": "x".repeat(129), "inputSchema": {}}).to_string(),
        &json!({"name": "x".repeat(128), "inputSchema": {}}).to_string(),
    ]);
    assert_eq!(read.items.len(), 1);
    assert_eq!(reasons(&read), [ItemError::Name, ItemError::Name]);
    assert!(
        read.dropped
            .iter()
            .all(|d| d.key.is_ascii() && !d.key.contains('\n') && d.key.len() < 700)
    );
}

#[test]
fn jr_13_schema_bombs_are_dropped() {
    let any_of = |n: usize| json!({"name": "a", "inputSchema": {"anyOf": vec![json!({}); n]}}).to_string();
    // The tool and its schema are two objects.
    assert_eq!(tools(&[&any_of(MAX_ITEM_OBJECTS - 2)]).items.len(), 1);
    assert_eq!(
        reasons(&tools(&[&any_of(MAX_ITEM_OBJECTS - 1)])),
        [ItemError::TooLarge]
    );
    let large = |n: usize| json!({"name": "a", "inputSchema": {"x": "y".repeat(n)}}).to_string();
    let overhead = large(0).len();
    assert_eq!(tools(&[&large(MAX_ITEM_BYTES - overhead)]).items.len(), 1);
    assert_eq!(
        reasons(&tools(&[&large(MAX_ITEM_BYTES - overhead + 1)])),
        [ItemError::TooLarge]
    );
}

#[test]
fn p_87_bad_annotations_are_left_out_where_they_must_be() {
    let read = tools(&[
        r#"{"name":"a","inputSchema":{"properties":{"x":{"type":"string","x-mcp-header":"X"}}}}"#,
        r#"{"name":"b","inputSchema":{"properties":{"x":{"type":"number","x-mcp-header":"X"}}}}"#,
    ]);
    assert_eq!(read.items[0].headers.as_ref().unwrap().len(), 1);
    assert!(read.items[1].headers.is_err());
    let read = read.without_bad_annotations();
    assert_eq!(keys(&read.items), ["a"]);
    assert_eq!(reasons(&read), [ItemError::Annotation]);
}

/// A page of tools `from..to`, with a cursor.
fn numbered(range: std::ops::Range<usize>, cursor: Option<&str>) -> Page {
    let items: Vec<_> = range
        .map(|n| json!({"name": format!("t{n}"), "inputSchema": {}}))
        .collect();
    page(
        ListKind::Tools,
        &json!({"tools": items, "nextCursor": cursor}).to_string(),
    )
    .unwrap()
}

#[test]
fn lists_are_put_together() {
    let mut list = Collector::new(ListKind::Tools);
    assert_eq!(list.add(numbered(0..2, Some(""))), Next::More(String::new()));
    assert_eq!(list.add(numbered(1..3, None)), Next::Done);
    assert_eq!(
        list.dropped.len(),
        1,
        "the second of two with one name is left out"
    );
    assert_eq!(keys(&list.finish()), ["t0", "t1", "t2"]);
}

#[test]
fn td_11_pages_and_items_at_the_limit_and_past_it() {
    let mut full = Collector::new(ListKind::Tools);
    assert_eq!(full.add(numbered(0..1000, Some("x"))), Next::More("x".into()));
    assert_eq!(
        full.add(numbered(1000..1001, None)),
        Next::Stopped(StopReason::Items)
    );
    assert_eq!(full.finish().len(), 1000);

    let mut endless = Collector::new(ListKind::Tools);
    for n in 1..MAX_PAGES {
        assert!(
            matches!(
                endless.add(numbered(n..n + 1, Some(&n.to_string()))),
                Next::More(_)
            ),
            "{n}"
        );
    }
    assert_eq!(
        endless.add(numbered(0..1, Some("more"))),
        Next::Stopped(StopReason::Pages)
    );

    let mut whole = Collector::new(ListKind::Tools);
    for n in 1..MAX_PAGES {
        whole.add(numbered(n..n + 1, Some(&n.to_string())));
    }
    assert_eq!(whole.add(numbered(0..1, None)), Next::Done);

    let mut circle = Collector::new(ListKind::Tools);
    assert_eq!(circle.add(numbered(0..1, Some("a"))), Next::More("a".into()));
    assert_eq!(circle.add(numbered(1..2, Some("b"))), Next::More("b".into()));
    assert_eq!(
        circle.add(numbered(2..3, Some("a"))),
        Next::Stopped(StopReason::Loop)
    );
}

#[test]
fn the_shortest_time_and_the_narrowest_scope_hold() {
    let mut list = Collector::new(ListKind::Tools);
    let hinted = |ttl: u64, scope: &str| {
        let text = json!({"tools": [], "nextCursor": scope, "ttlMs": ttl, "cacheScope": scope}).to_string();
        page(ListKind::Tools, &text).unwrap()
    };
    list.add(hinted(500, "public"));
    assert_eq!((list.ttl_ms, list.scope), (500, CacheScope::Public));
    list.add(hinted(100, "private"));
    assert_eq!((list.ttl_ms, list.scope), (100, CacheScope::Private));
}
