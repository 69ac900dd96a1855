//! Changes while the gateway runs: by the file, by a signal, by a command.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sallyport_testkit::everything::Era;
use sallyport_testkit::http::{Connection, Events, Request};
use sallyport_testkit::mcp::{Legacy, Modern};
use sallyport_testkit::oauth::Tokens;
use serde_json::{Value, json};

use crate::census::Tree;
use crate::support::{Scene, names, server, servers, within};

/// Within this time a change takes effect.
const TAKEN: Duration = Duration::from_secs(1);

/// Time for what has to start a program first.
const PATIENCE: Duration = Duration::from_secs(10);

/// The visible tools of a session.
async fn tools(session: &mut Legacy) -> anyhow::Result<BTreeSet<String>> {
    let list = session.request("tools/list", json!({})).await?;
    Ok(names(list.result()?).into_iter().map(str::to_owned).collect())
}

/// Whether a message is of this method.
fn is(message: &Value, method: &str) -> bool {
    message.get("method").and_then(Value::as_str) == Some(method)
}

/// Waits on a stream until a list has changed.
async fn told(stream: &mut Events, method: &str) -> anyhow::Result<()> {
    while !is(&stream.message().await?, method) {}
    Ok(())
}

/// Waits on a stream for changes of the tools until `tool` is there, or not any more.
async fn told_of(
    stream: &mut Events,
    session: &mut Legacy,
    (tool, there): (&str, bool),
) -> anyhow::Result<()> {
    loop {
        told(stream, "notifications/tools/list_changed").await?;
        if tools(session).await?.contains(tool) == there {
            return Ok(());
        }
    }
}

/// A call that waits for an answer of the person in front, until [`Asked::answer`] gives it.
struct Asked {
    events: Events,
    question: Value,
}

impl Asked {
    async fn begin(scene: &Scene, session: &Legacy, tool: &str) -> anyhow::Result<Self> {
        let params = json!({ "name": tool, "arguments": { "message": "Who?" } });
        let message = json!({ "jsonrpc": "2.0", "id": 4711, "method": "tools/call", "params": params });
        let request = session.with_session(Request::post("/mcp")).rpc(&message);
        let mut connection: Connection = scene.gateway.connect().await?;
        anyhow::ensure!(connection.begin(&request).await?.is_event_stream(), "no stream");
        let mut events = connection.events();
        let question = events.message().await?;
        anyhow::ensure!(is(&question, "elicitation/create"), "{question}");
        Ok(Self { events, question })
    }

    async fn answer(mut self, session: &Legacy) -> anyhow::Result<String> {
        let content = json!({ "username": "ada", "email": "a@b.c" });
        let result = json!({ "action": "accept", "content": content });
        let message = json!({ "jsonrpc": "2.0", "id": self.question.get("id"), "result": result });
        session.post(&message).await?.expect(202)?;
        let answer = self.events.message().await?;
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
        Ok(text.with_context(|| answer.to_string())?.to_owned())
    }
}

/// What `/readyz` says is wrong with the file.
async fn problems(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let page = scene.gateway.admin_page("/readyz").await?.expect(200)?.json()?;
    let problems = page.get("config_problems").cloned();
    Ok(serde_json::from_value(problems.unwrap_or_default())?)
}

/// Waits until the file was refused, or taken over.
async fn file_is(scene: &Scene, good: bool) -> anyhow::Result<Duration> {
    within(PATIENCE, async || {
        let metrics = scene.gateway.admin_page("/metrics").await?.text();
        let line = format!("mcp_gateway_config_last_reload_successful {}", u8::from(good));
        Ok(metrics.lines().any(|known| known == line) && problems(scene).await?.is_empty() == good)
    })
    .await
}

#[tokio::test]
async fn cf_02_what_is_not_touched_notices_nothing() {
    let tree = Tree::new();
    let kept = format!("servers:\n{}", tree.server("tree").unwrap());
    let scene = Scene::with(&kept, Vec::new()).await.unwrap();
    let mut session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    let before = tools(&mut session).await.unwrap();
    let running = Asked::begin(&scene, &session, "test_elicitation").await.unwrap();
    let processes = tree.servers();
    assert!(!processes.is_empty());

    // Another server comes, changes, and goes again.
    let other = Tree::new();
    let (one, two) = (
        server(Era::Dual).await.unwrap(),
        server(Era::Legacy).await.unwrap(),
    );
    for (more, there) in [
        (format!("  other: {{ url: \"{}\" }}\n", one.url()), true),
        (format!("  other: {{ url: \"{}\" }}\n", two.url()), true),
        (other.server("other").unwrap(), true),
        (String::new(), false),
    ] {
        scene.gateway.configure(&format!("{kept}{more}")).unwrap();
        let begin = Instant::now();
        // Two servers with the same names: then both have prefixes.
        within(PATIENCE, async || {
            let servers = scene.gateway.admin_page("/readyz").await?.json()?;
            Ok(servers["servers"]["other"] == if there { json!("ready") } else { Value::Null })
        })
        .await
        .unwrap();
        within(PATIENCE, async || {
            Ok(tools(&mut session).await?.contains("other__echo") == there)
        })
        .await
        .unwrap();
        eprintln!("a change of the file was taken over after {:?}", begin.elapsed());
        told(&mut stream, "notifications/tools/list_changed")
            .await
            .unwrap();
        assert_eq!(tree.servers(), processes);
        assert!(problems(&scene).await.unwrap().is_empty());
    }
    other.removed().await.unwrap();
    assert!(running.answer(&session).await.unwrap().contains("action=accept"));
    assert_eq!(tools(&mut session).await.unwrap(), before);
    assert_eq!(tree.servers(), processes);
}

#[tokio::test]
async fn a_signal_reads_anew_what_the_file_refers_to() {
    let (first, second, kept) = (Tree::new(), Tree::new(), Tree::new());
    let folder = tempfile::tempdir().unwrap();
    let mark: &Path = &folder.path().join("mark");
    let more = format!(
        "servers:\n{}{}",
        first.server_with_file("changing", mark).unwrap(),
        kept.server("kept").unwrap()
    );
    let scene = Scene::with(&more, Vec::new()).await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    session
        .call("kept__echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    let processes = kept.servers();
    assert!(!first.servers().is_empty() && !processes.is_empty());
    second.server_with_file("changing", mark).unwrap();
    scene.gateway.signal("HUP").await.unwrap();
    within(PATIENCE, async || Ok(!second.servers().is_empty()))
        .await
        .unwrap();
    first.removed().await.unwrap();
    let answer = session
        .call("changing__echo", json!({ "text": "new" }))
        .await
        .unwrap();
    assert_eq!(answer.text().unwrap(), "new");
    assert_eq!(kept.servers(), processes);
}

#[tokio::test]
async fn cf_01_a_bad_file_changes_nothing_and_says_what_is_wrong_with_it() {
    let tree = Tree::new();
    let good = format!("servers:\n{}", tree.server("tree").unwrap());
    let scene = Scene::with(&good, Vec::new()).await.unwrap();
    let mut session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    let before = tools(&mut session).await.unwrap();
    let running = Asked::begin(&scene, &session, "test_elicitation").await.unwrap();
    let processes = tree.servers();
    // Four lines are before these.
    for (bad, place, mend) in [
        ("servers: 5\n", "sallyport.yaml:5:", "mapping"),
        (
            "servers:\n  x: { uri: \"http://h/\" }\n",
            "sallyport.yaml:6:",
            "url",
        ),
        (
            "servers:\n  x: { command: \"a b\" }\n",
            "sallyport.yaml:6:",
            "args",
        ),
        ("colour: red\n", "sallyport.yaml:5:", "colour"),
        ("servers: {\n", "sallyport.yaml:", ""),
    ] {
        for signal in [false, true] {
            scene.gateway.configure(bad).unwrap();
            if signal {
                scene.gateway.signal("HUP").await.unwrap();
            }
            file_is(&scene, false)
                .await
                .unwrap_or_else(|error| panic!("{bad}: {error:#}"));
            let said = problems(&scene).await.unwrap().join("\n");
            assert!(said.contains(place) && said.contains(mend), "{bad}: {said}");
            let log = scene.gateway.log();
            assert!(
                log.contains(place) && log.contains("was not taken over"),
                "{bad}: {log}"
            );
            assert_eq!(tools(&mut session).await.unwrap(), before);
            assert_eq!(tree.servers(), processes);
            // The right one again: nothing has changed since.
            scene.gateway.configure(&good).unwrap();
            file_is(&scene, true)
                .await
                .unwrap_or_else(|error| panic!("after {bad}: {error:#}"));
            assert_eq!(tree.servers(), processes);
        }
    }
    assert!(running.answer(&session).await.unwrap().contains("action=accept"));
}

#[tokio::test]
async fn a_server_that_another_process_adds_or_removes_is_there_or_gone_within_a_second() {
    let (kept, one) = (server(Era::Dual).await.unwrap(), server(Era::Dual).await.unwrap());
    let (more, url) = (servers(&[("kept", &kept)]), one.url());
    let scene = Scene::with(&more, vec![kept, one]).await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    let mut modern = scene.modern(json!({}));
    let mut listening = modern.listen(json!({ "toolsListChanged": true })).await.unwrap();
    for _ in 0..2 {
        for (verb, there) in [(&["add", "extra", &url][..], true), (&["remove", "extra"], false)] {
            scene.gateway.run(verb, "").await.unwrap();
            let begin = Instant::now();
            told_of(&mut stream, &mut session, ("extra__echo", there))
                .await
                .unwrap();
            let took = begin.elapsed();
            told(&mut listening, "notifications/tools/list_changed")
                .await
                .unwrap();
            let list = modern.request("tools/list", json!({})).await.unwrap();
            assert_eq!(names(list.result().unwrap()).contains(&"extra__echo"), there);
            eprintln!("{} took effect after {took:?}", verb[0]);
            assert!(took < TAKEN, "{verb:?}: {took:?}");
        }
    }
}

#[tokio::test]
async fn a_program_that_another_process_adds_and_removes_leaves_nothing() {
    let kept = server(Era::Dual).await.unwrap();
    let scene = Scene::with(&servers(&[("kept", &kept)]), vec![kept])
        .await
        .unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    let tree = Tree::new();
    let verb = tree.added("extra").unwrap();
    let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
    scene.gateway.run(&verb, "").await.unwrap();
    told_of(&mut stream, &mut session, ("extra__echo", true))
        .await
        .unwrap();
    session
        .call("extra__echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    assert!(!tree.servers().is_empty());
    scene.gateway.run(&["remove", "extra"], "").await.unwrap();
    told_of(&mut stream, &mut session, ("extra__echo", false))
        .await
        .unwrap();
    tree.removed().await.unwrap();
    let refused = session.call("extra__echo", json!({ "text": "x" })).await.unwrap();
    assert_eq!(refused.error_code().unwrap(), -32602);
}

#[tokio::test]
async fn a_removed_users_tokens_sessions_and_streams_end_within_a_second() {
    let scene = Scene::demo().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let client = scene.gateway.client().await.unwrap();
    let mut browser = scene.gateway.browser().unwrap();
    let resource = scene.gateway.resource("default");
    let login = ("bob", sallyport_testkit::front::PASSWORD);
    let tokens: Tokens = client.log_in(&mut browser, &resource, login).await.unwrap();
    let bobs = scene.gateway.endpoint("default", &tokens.access);
    let mut session = Legacy::open(bobs.clone(), "2025-11-25", json!({})).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    let mut modern = Modern::new(bobs, json!({}));
    let mut listening = modern.listen(json!({ "toolsListChanged": true })).await.unwrap();
    session
        .call("echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();

    scene.gateway.run(&["user", "remove", "bob"], "").await.unwrap();
    let took = within(TAKEN, async || {
        let legacy = session.request("tools/list", json!({})).await?.status;
        Ok(legacy == 401 && modern.request("tools/list", json!({})).await?.status == 401)
    });
    eprintln!("a removed user is out after {:?}", took.await.unwrap());
    let refused = client.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json().unwrap()["error"], "invalid_grant");
    assert!(client.log_in(&mut browser, &resource, login).await.is_err());
    while let Ok(Some(_)) = stream.next().await {}
    while let Ok(Some(_)) = listening.next().await {}
    let mut ada = scene.legacy(json!({})).await.unwrap();
    ada.call("echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
}
