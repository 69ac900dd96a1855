//! What extensions put into lists, merged: skills and the resources of apps.

use bytes::Bytes;
use sallyport_core::ServerName;
use serde_json::{Value, json};

use super::*;
use crate::answer::rewrite_uris;
use crate::catalogue::{Catalogue, ListKind, parse_page};
use crate::method::Method;

fn server(name: &str) -> ServerName {
    ServerName::parse(name).expect("a name")
}

fn items(kind: ListKind, items: Value) -> Vec<crate::catalogue::Item> {
    let page = parse_page(kind, &Bytes::from(json!({ kind.member(): items }).to_string()));
    let page = page.expect("a page");
    assert_eq!(page.dropped, []);
    page.items
}

/// A server with one skill of these files besides `SKILL.md`.
fn with_skill(root: &str, files: &[&str]) -> Catalogue {
    let name = root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let all = std::iter::once("SKILL.md").chain(files.iter().copied());
    let files: Vec<Value> = all
        .map(|file| json!({"uri": format!("{root}{file}"), "digest": "sha256:00", "size": 1}))
        .collect();
    let skill = json!({
        "uri": format!("{root}SKILL.md"),
        "frontmatter": {"name": name, "description": "d", "see": format!("{root}a.md")},
        "resources": files,
    });
    Catalogue {
        skills: items(ListKind::Skills, json!([skill])),
        ..Catalogue::default()
    }
}

fn merged(servers: &[(&str, &Catalogue)], admit: impl Fn(ListKind, &str) -> bool) -> Merged {
    let servers: Vec<(ServerName, &Catalogue)> = servers.iter().map(|(n, c)| (server(n), *c)).collect();
    merge(&servers, Naming::OnCollision, admit).expect("no collision is an error")
}

fn shown(merged: &Merged, place: usize) -> Value {
    let entry = merged.skills.get(place).expect("a skill");
    serde_json::from_slice(&entry.raw).expect("JSON")
}

fn route(merged: &Merged, uri: &str) -> Option<(String, String)> {
    let route = merged.route_uri(uri)?;
    Some((route.server.to_string(), route.remote.into_owned()))
}

fn to(server: &str, uri: &str) -> Option<(String, String)> {
    Some((server.to_owned(), uri.to_owned()))
}

#[test]
fn skills_of_one_server_only_pass_as_they_are() {
    let (git, web) = (
        with_skill("skill://git/log/", &["a.md"]),
        with_skill("skill://web/get/", &[]),
    );
    let merged = merged(&[("git", &git), ("web", &web)], |_, _| true);
    assert_eq!(merged.skills.len(), 2);
    for (place, catalogue) in [(0, &git), (1, &web)] {
        assert_eq!(
            merged.skills.get(place).map(|s| &s.raw),
            catalogue.skills.first().map(|s| &s.raw)
        );
    }
    for (uri, owner) in [
        ("skill://git/log/SKILL.md", "git"),
        ("skill://git/log/a.md", "git"),
        ("skill://git/log", "git"),
        ("skill://git/log/not/in/the/manifest.md", "git"),
        ("skill://web/get/SKILL.md", "web"),
    ] {
        assert_eq!(route(&merged, uri), to(owner, uri), "{uri}");
    }
    assert_eq!(route(&merged, "skill://other/SKILL.md"), None);
}

#[test]
fn p_106_p_107_skills_of_one_name_bear_labels_with_all_of_their_files() {
    // `b.md` is in one of them only, and must not be told apart from the rest of its skill by that.
    let (git, web) = (
        with_skill("skill://log/", &["a.md"]),
        with_skill("skill://log/", &["a.md", "b.md"]),
    );
    let merged = merged(&[("git", &git), ("web", &web)], |_, _| true);
    for (place, label, files) in [(0, "git", 2), (1, "web", 3)] {
        let skill = shown(&merged, place);
        assert_eq!(skill["uri"], format!("{label}+skill://log/SKILL.md"));
        let resources = skill["resources"].as_array().expect("files");
        assert_eq!(resources.len(), files);
        for file in resources {
            let uri = file["uri"].as_str().expect("a URI");
            let own = uri
                .strip_prefix(label)
                .and_then(|uri| uri.strip_prefix('+'))
                .expect("the label");
            assert_eq!(route(&merged, uri), to(label, own));
            assert_eq!(file["digest"], "sha256:00");
        }
        // What the author wrote is not touched: its bytes are what hosts compare.
        assert_eq!(skill["frontmatter"]["see"], "skill://log/a.md");
    }
    for unclear in [
        "skill://log/SKILL.md",
        "skill://log/b.md",
        "skill://log/c.md",
        "skill://log",
    ] {
        assert_eq!(route(&merged, unclear), None, "{unclear}");
    }
    assert_eq!(route(&merged, "git+skill://log"), to("git", "skill://log"));
}

#[test]
fn p_108_what_a_skill_and_a_directory_name_can_be_read() {
    let (git, web) = (with_skill("skill://log/", &[]), with_skill("skill://log/", &[]));
    let merged = merged(&[("git", &git), ("web", &web)], |_, _| true);
    let visible = |uri: &str| match merged.visible_uri(&server("web"), uri) {
        std::borrow::Cow::Owned(uri) => Some(uri),
        std::borrow::Cow::Borrowed(_) => None,
    };
    for (method, result, expected) in [
        (
            Method::SkillsGet,
            json!({"skill": {"uri": "skill://log/SKILL.md", "resources": [{"uri": "skill://log/a.md"}]}}),
            json!({"skill": {"uri": "web+skill://log/SKILL.md", "resources": [{"uri": "web+skill://log/a.md"}]}}),
        ),
        (
            Method::SkillsGet,
            json!({"skill": {"resources": "dynamic", "uri": "skill://log/SKILL.md"}}),
            json!({"skill": {"resources": "dynamic", "uri": "web+skill://log/SKILL.md"}}),
        ),
        (
            Method::DirectoryRead,
            json!({"resources": [{"uri": "skill://log/sub", "mimeType": "inode/directory"}], "nextCursor": "x"}),
            json!({"resources": [{"uri": "web+skill://log/sub", "mimeType": "inode/directory"}], "nextCursor": "x"}),
        ),
    ] {
        let changed = rewrite_uris(result.to_string().as_bytes(), method, visible).expect("changed");
        let changed: Value = serde_json::from_slice(&changed).expect("JSON");
        assert_eq!(changed, expected);
    }
}

#[test]
fn p_113_the_resource_of_a_tool_that_may_not_be_read_is_not_shown() {
    let tool = json!([{"name": "t", "inputSchema": {}, "_meta": {
        "ui": {"resourceUri": "ui://secret/x", "visibility": ["app"]}, "ui/resourceUri": "ui://secret/x", "k": 1
    }}]);
    let catalogue = Catalogue {
        tools: items(ListKind::Tools, tool),
        ..Catalogue::default()
    };
    for (allowed, expected) in [
        (
            true,
            json!({"ui": {"resourceUri": "ui://secret/x", "visibility": ["app"]}, "ui/resourceUri": "ui://secret/x", "k": 1}),
        ),
        (false, json!({"ui": {"visibility": ["app"]}, "k": 1})),
    ] {
        let merged = merged(&[("a", &catalogue)], |kind, uri| {
            allowed || kind != ListKind::Resources || !uri.contains("secret")
        });
        let tool: Value = serde_json::from_slice(&merged.tools.first().expect("a tool").raw).expect("JSON");
        assert_eq!(tool["_meta"], expected);
    }
}

#[test]
fn p_40_the_order_is_the_operators_and_then_the_servers() {
    let many = |names: &[&str]| {
        let named: Vec<Value> = names
            .iter()
            .map(|n| json!({"name": n, "inputSchema": {}}))
            .collect();
        Catalogue {
            tools: items(ListKind::Tools, json!(named)),
            ..Catalogue::default()
        }
    };
    let (one, two) = (many(&["z", "a", "m"]), many(&["y", "b"]));
    for _ in 0..20 {
        let merged = merged(&[("one", &one), ("two", &two)], |_, _| true);
        let order: Vec<&str> = merged.tools.iter().map(|tool| &*tool.visible).collect();
        assert_eq!(order, ["z", "a", "m", "y", "b"]);
    }
}
