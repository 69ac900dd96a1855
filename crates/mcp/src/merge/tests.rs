use bytes::Bytes;
use proptest::prelude::*;
use sallyport_core::ServerName;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::{Catalogue, ListKind, parse_page};

fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

fn catalogue(tools: &[&str], resources: &[&str], templates: &[&str]) -> Catalogue {
    let page = |kind: ListKind, items: Vec<Value>| {
        let result = Bytes::from(json!({ kind.member(): items }).to_string());
        let page = parse_page(kind, &result).unwrap();
        assert_eq!(page.dropped, []);
        page.items
    };
    let named = |n: &&str| json!({"name": n, "inputSchema": {}, "x": [n]});
    Catalogue {
        tools: page(ListKind::Tools, tools.iter().map(named).collect()),
        prompts: page(ListKind::Prompts, tools.iter().map(named).collect()),
        resources: page(
            ListKind::Resources,
            resources.iter().map(|u| json!({"uri": u, "name": "r"})).collect(),
        ),
        templates: page(
            ListKind::Templates,
            templates
                .iter()
                .map(|u| json!({"uriTemplate": u, "name": "t"}))
                .collect(),
        ),
        ..Catalogue::default()
    }
}

fn merged(servers: &[(&str, Catalogue)], naming: Naming) -> Result<Merged, CollisionError> {
    let servers: Vec<(ServerName, &Catalogue)> = servers.iter().map(|(n, c)| (server(n), c)).collect();
    merge(&servers, naming, |_, _| true)
}

fn visible(merged: &Merged, kind: ListKind) -> Vec<&str> {
    merged.list(kind).iter().map(|e| &*e.visible).collect()
}

fn tools(servers: &[(&str, &[&str])], naming: Naming) -> Vec<String> {
    let servers: Vec<(&str, Catalogue)> = servers
        .iter()
        .map(|(n, t)| (*n, catalogue(t, &[], &[])))
        .collect();
    let merged = merged(&servers, naming).unwrap();
    assert_eq!(
        visible(&merged, ListKind::Tools),
        visible(&merged, ListKind::Prompts)
    );
    visible(&merged, ListKind::Tools)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn names_are_prefixed_as_configured() {
    let two: [(&str, &[&str]); 2] = [("git", &["log", "search"]), ("web", &["search", "get"])];
    assert_eq!(
        tools(&two, Naming::OnCollision),
        ["log", "git__search", "web__search", "get"]
    );
    assert_eq!(
        tools(&two, Naming::Always),
        ["git__log", "git__search", "web__search", "web__get"]
    );
    assert_eq!(
        tools(&[("git", &["a"]), ("web", &["b"])], Naming::Never),
        ["a", "b"]
    );
    assert_eq!(
        tools(&[("git", &["a", "git__a"])], Naming::OnCollision),
        ["a", "git__a"]
    );
}

#[test]
fn td_03_a_collision_is_an_error_where_names_may_not_change() {
    let two = [
        ("git", catalogue(&["search"], &[], &[])),
        ("web", catalogue(&["search"], &[], &[])),
    ];
    let error = merged(&two, Naming::Never).unwrap_err();
    assert_eq!((error.kind, error.key.as_str()), (ListKind::Tools, "search"));
    assert_eq!((error.first, error.second), (server("git"), server("web")));
}

#[test]
fn td_03_no_server_can_take_anothers_prefixed_name() {
    let shadow: [(&str, &[&str]); 3] = [
        ("evil", &["github__search"]),
        ("github", &["search"]),
        ("web", &["search"]),
    ];
    assert_eq!(
        tools(&shadow, Naming::OnCollision),
        ["evil__github__search", "github__search", "web__search"]
    );
    // Not even when there is nothing to shadow yet: names do not change hands when a tool appears.
    assert_eq!(
        tools(
            &[("evil", &["github__search"]), ("github", &["log"])],
            Naming::OnCollision
        ),
        ["evil__github__search", "log"]
    );
    assert_eq!(
        tools(&[("a", &["_b"]), ("b", &["_b"])], Naming::OnCollision),
        ["a___b", "b___b"]
    );
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    let git = server("git");
    let fits = "x".repeat(MAX_PREFIXED_NAME - "git__".len());
    assert_eq!(prefixed_name(&git, &fits), format!("git__{fits}"));
    let (one, two) = (format!("{fits}1"), format!("{fits}2"));
    let (cut_one, cut_two) = (prefixed_name(&git, &one), prefixed_name(&git, &two));
    assert_eq!(
        (cut_one.len(), cut_two.len()),
        (MAX_PREFIXED_NAME, MAX_PREFIXED_NAME)
    );
    assert_ne!(cut_one, cut_two);
    assert!(crate::catalogue::is_tool_name(&cut_one) && cut_one.starts_with("git__x"));
    let both = merged(&[("git", catalogue(&[&one, &two], &[], &[]))], Naming::Always).unwrap();
    let entry = both.owner(ListKind::Tools, &cut_two).unwrap();
    assert_eq!(&*entry.remote, two);
}

#[test]
fn rendered_items_bear_the_visible_name_and_nothing_else_new() {
    let two = [
        ("git", catalogue(&["search"], &["f:a"], &[])),
        ("web", catalogue(&["search"], &["f:a"], &[])),
    ];
    let both = merged(&two, Naming::OnCollision).unwrap();
    let entry = both.owner(ListKind::Tools, "web__search").unwrap();
    assert_eq!((entry.server.as_str(), &*entry.remote), ("web", "search"));
    let raw: Value = serde_json::from_slice(&entry.raw).unwrap();
    assert_eq!(
        raw,
        json!({"name": "web__search", "inputSchema": {}, "x": ["search"]})
    );
    let raw: Value = serde_json::from_slice(&both.resources[1].raw).unwrap();
    assert_eq!(raw, json!({"uri": "web+f:a", "name": "r"}));
    assert!(both.owner(ListKind::Tools, "search").is_none());
    assert!(both.owner(ListKind::Prompts, "git__search").is_some());
}

#[test]
fn only_what_is_admitted_is_listed() {
    let (git, web) = (
        catalogue(&["search", "log"], &[], &[]),
        catalogue(&["search"], &[], &[]),
    );
    let servers = [(server("git"), &git), (server("web"), &web)];
    let some = merge(&servers, Naming::OnCollision, |kind, name| {
        kind == ListKind::Tools && name != "web__search"
    })
    .unwrap();
    assert_eq!(visible(&some, ListKind::Tools), ["git__search", "log"]);
    assert!(some.owner(ListKind::Tools, "web__search").is_none());
    assert!(some.prompts.is_empty());
}

fn routes(merged: &Merged, uri: &str) -> Option<(String, String)> {
    merged
        .route_uri(uri)
        .map(|r| (r.server.to_string(), r.remote.into_owned()))
}

fn to(server: &str, uri: &str) -> Option<(String, String)> {
    Some((server.to_owned(), uri.to_owned()))
}

#[test]
fn p_107_uris_lead_to_their_one_owner_or_nowhere() {
    let both = merged(
        &[
            (
                "git",
                catalogue(
                    &[],
                    &["file:///a", "file:///both"],
                    &["repo://{owner}/{name}", "same://{x}"],
                ),
            ),
            (
                "web",
                catalogue(
                    &[],
                    &["ui://app", "file:///both", "git+https://x"],
                    &["page://{+path}", "same://{y}"],
                ),
            ),
        ],
        Naming::OnCollision,
    )
    .unwrap();
    assert_eq!(
        visible(&both, ListKind::Resources),
        [
            "file:///a",
            "git+file:///both",
            "ui://app",
            "web+file:///both",
            "web+git+https://x"
        ]
    );
    assert_eq!(
        visible(&both, ListKind::Templates),
        [
            "repo://{owner}/{name}",
            "same://{x}",
            "page://{+path}",
            "same://{y}"
        ]
    );
    for (uri, route) in [
        ("file:///a", to("git", "file:///a")),
        ("file:///both", None),
        ("git+file:///both", to("git", "file:///both")),
        ("web+file:///both", to("web", "file:///both")),
        ("git+file:///unlisted", to("git", "file:///unlisted")),
        ("web+git+https://x", to("web", "git+https://x")),
        ("ui://app", to("web", "ui://app")),
        ("ui://git+thing", to("git", "ui://thing")),
        ("repo://o/n", to("git", "repo://o/n")),
        ("page://a/b/c", to("web", "page://a/b/c")),
        ("same://1", None),
        ("file:///c", None),
        ("", None),
    ] {
        assert_eq!(routes(&both, uri), route, "{uri}");
    }
}

#[test]
fn p_108_uris_of_results_are_shown_so_that_they_lead_back() {
    let both = merged(
        &[
            (
                "git",
                catalogue(&[], &["file:///a", "https://listed"], &["repo://{x}"]),
            ),
            ("web", catalogue(&[], &["https://both"], &[])),
        ],
        Naming::OnCollision,
    )
    .unwrap();
    for (owner, uri, shown) in [
        ("git", "file:///a", "file:///a"),
        ("web", "file:///a", "web+file:///a"),
        ("git", "repo://1", "repo://1"),
        ("git", "file:///unlisted", "git+file:///unlisted"),
        ("git", "ui://x", "ui://git+x"),
        ("git", "https://anything", "https://anything"),
        ("web", "https://listed", "web+https://listed"),
        ("git", "web+file:///a", "git+web+file:///a"),
    ] {
        assert_eq!(both.visible_uri(&server(owner), uri), shown);
        if !shown.starts_with("https:") {
            assert_eq!(routes(&both, shown), to(owner, uri), "{shown}");
        }
    }
}

#[test]
fn one_server_alone_keeps_all_its_names() {
    let alone = merged(
        &[("git", catalogue(&["git__a"], &["git+x:a"], &[]))],
        Naming::OnCollision,
    )
    .unwrap();
    assert_eq!(visible(&alone, ListKind::Tools), ["git__a"]);
    assert_eq!(visible(&alone, ListKind::Resources), ["git+x:a"]);
    assert_eq!(routes(&alone, "anything:at all"), to("git", "anything:at all"));
    assert_eq!(alone.visible_uri(&server("git"), "git+x:a"), "git+x:a");
}

#[test]
fn labels_are_schemes_and_each_servers_own() {
    let same = catalogue(&[], &["x:a"], &[]);
    let all = ["a_b", "a-b", "A-b", "1st"].map(|n| (n, same.clone()));
    let all = merged(&all, Naming::OnCollision).unwrap();
    assert_eq!(
        visible(&all, ListKind::Resources),
        ["a-b+x:a", "a-b-1+x:a", "a-b-2+x:a", "s1st+x:a"]
    );
    assert_eq!(routes(&all, "a-b-1+x:a"), to("a-b", "x:a"));
}

#[test]
fn app_resources_of_tools_are_shown_as_clients_see_them() {
    let tool = |uri: &str| {
        let tool = json!({"name": "t", "inputSchema": {}, "_meta": {"ui": {"resourceUri": uri, "visibility": ["app"]}, "ui/resourceUri": uri, "k": 1}});
        let result = Bytes::from(json!({ "tools": [tool] }).to_string());
        Catalogue {
            tools: parse_page(ListKind::Tools, &result).unwrap().items,
            ..Catalogue::default()
        }
    };
    let both = merged(
        &[("a", tool("ui://x")), ("b", tool("ui://x"))],
        Naming::OnCollision,
    )
    .unwrap();
    let raw: Value = serde_json::from_slice(&both.owner(ListKind::Tools, "b__t").unwrap().raw).unwrap();
    assert_eq!(
        raw["_meta"],
        json!({"ui": {"resourceUri": "ui://b+x", "visibility": ["app"]}, "ui/resourceUri": "ui://b+x", "k": 1})
    );
}

#[test]
fn the_fingerprint_follows_the_list() {
    let one = merged(&[("git", catalogue(&["a", "b"], &[], &[]))], Naming::OnCollision).unwrap();
    let same = merged(
        &[("git", catalogue(&["a", "b"], &["x:y"], &[]))],
        Naming::OnCollision,
    )
    .unwrap();
    let other = merged(&[("git", catalogue(&["b", "a"], &[], &[]))], Naming::OnCollision).unwrap();
    assert_eq!(
        one.fingerprint(ListKind::Tools),
        same.fingerprint(ListKind::Tools)
    );
    assert_ne!(
        one.fingerprint(ListKind::Tools),
        other.fingerprint(ListKind::Tools)
    );
    assert_ne!(
        one.fingerprint(ListKind::Resources),
        same.fingerprint(ListKind::Resources)
    );
}

#[test]
fn jr_13_templates_are_matched_in_bounded_time() {
    for (template, uri, matches) in [
        ("db://{table}/{id}", "db://users/1", true),
        ("db://{table}/{id}", "db://users", false),
        ("db://x", "db://x", true),
        ("db://x", "db://xy", false),
        ("{+any}", "x:y", true),
        ("a:{x}b", "a:bb", true),
        ("a:{x}b", "a:c", false),
        ("a:{unclosed", "a:{unclosed", true),
        ("a:{unclosed", "a:x", false),
        ("f:{?q,r*}", "f:?q=1", true),
    ] {
        assert_eq!(template_matches(template, uri), matches, "{template} {uri}");
    }
    let bomb = "{a}a".repeat(2000);
    let uri = format!("x:{}b", "a".repeat(8000));
    assert!(!template_matches(&format!("x:{bomb}c"), &uri));
}

fn small_names() -> impl Strategy<Value = Vec<Vec<String>>> {
    let name = prop_oneof!["[ab](__[ab])?", "_?[ab]{1,2}", "[ab]{60,128}"];
    let of_one = proptest::collection::btree_set(name, 0..6).prop_map(|names| names.into_iter().collect());
    proptest::collection::vec(of_one, 1..4)
}

proptest! {
    #[test]
    fn every_visible_name_leads_to_one_tool_and_every_tool_is_visible(lists in small_names(), always in any::<bool>()) {
        let names = ["a", "b", "a-b"];
        let servers: Vec<(&str, Catalogue)> = lists.iter().zip(names).map(|(tools, name)| {
            let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
            (name, catalogue(&tools, &[], &[]))
        }).collect();
        let all = merged(&servers, if always { Naming::Always } else { Naming::OnCollision }).unwrap();
        let mut seen = std::collections::HashSet::new();
        for entry in &all.tools {
            prop_assert!(seen.insert(entry.visible.clone()));
            prop_assert_eq!(all.owner(ListKind::Tools, &entry.visible), Some(entry));
            if let Some((head, _)) = entry.visible.split_once(SEPARATOR)
                && all.tools.iter().any(|e| e.server.as_str() == head)
                && servers.len() > 1
            {
                prop_assert_eq!(entry.server.as_str(), head);
            }
        }
        prop_assert_eq!(all.tools.len(), lists.iter().map(Vec::len).sum::<usize>());
    }

    #[test]
    fn every_listed_uri_leads_back(lists in proptest::collection::vec(proptest::collection::btree_set("(a\\+|b\\+|ui://|ui://a\\+)?x:[ab]{1,2}", 0..5), 1..4)) {
        let names = ["a", "b", "a-b"];
        let servers: Vec<(&str, Catalogue)> = lists.iter().zip(names).map(|(uris, name)| {
            let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
            (name, catalogue(&[], &uris, &[]))
        }).collect();
        let all = merged(&servers, Naming::OnCollision).unwrap();
        for entry in &all.resources {
            prop_assert_eq!(routes(&all, &entry.visible), to(entry.server.as_str(), &entry.remote));
            prop_assert_eq!(all.visible_uri(&entry.server, &entry.remote), &*entry.visible);
        }
        prop_assert_eq!(all.resources.len(), lists.iter().map(std::collections::BTreeSet::len).sum::<usize>());
    }
}
