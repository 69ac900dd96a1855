//! Rules over arguments, people and time: what clients see of them, by every way in.

use std::process::Stdio;
use std::time::{Duration, Instant};

use sallyport_testkit::everything::Era;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::Request;
use sallyport_testkit::mcp::{Conversation, Exchange, Legacy, Modern, Talk};
use serde_json::{Value, json};

use crate::carried::{Carrier, Client, gateway};
use crate::support::{PATIENCE, Scene, names, server, servers, until};

/// The text that [`NOT_THIS`] does not let pass.
const BAD: &str = "rm -rf /";

const NOT_THIS: &str = "profiles:
  default:
    servers: [\"*\"]
    rules:
      - { tools: [echo], deny: \"args.text.startsWith('rm ')\", message: Nothing is removed here. }
";

/// Whether a call was let pass; what is not has to be told as a tool's error with the rule's message.
fn passed(answer: &Value) -> bool {
    let result = &answer["result"];
    let text = result["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    match result["isError"] == true {
        true => assert_eq!(text, "Nothing is removed here.", "{answer}"),
        false => assert_ne!(text, BAD, "{answer}"),
    }
    result["isError"] != true
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

#[tokio::test]
async fn a_value_is_denied_by_every_way_in_and_others_pass() {
    let gateway = gateway(NOT_THIS).await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let endpoint = gateway.endpoint("default", &token);
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut session = Legacy::open(endpoint.clone(), revision, json!({})).await.unwrap();
        for (text, passes) in [(BAD, false), ("rm", true)] {
            let said = session.call("echo", json!({ "text": text })).await.unwrap();
            assert_eq!(passed(&said.answer), passes, "{revision} {text}");
        }
        if revision == "2025-03-26" {
            let one = |id: u64, text: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call("echo", json!({ "text": text })) });
            let request = session.with_session(Request::post("/mcp"));
            let request = request
                .header("Content-Type", "application/json")
                .header("Accept", "application/json")
                .body(json!([one(7, BAD), one(8, "rm")]).to_string());
            let both = gateway.connect().await.unwrap().ask(&request).await.unwrap();
            let both = both.json().unwrap();
            for answer in both.as_array().unwrap() {
                assert_eq!(passed(answer), answer["id"] == 8, "{both}");
            }
        }
    }
    let mut modern = Modern::new(endpoint.clone(), json!({}));
    for (text, passes) in [(BAD, false), ("rm", true)] {
        let said = modern.call("echo", json!({ "text": text })).await.unwrap();
        assert_eq!(passed(&said.answer), passes, "modern {text}");
        assert_eq!(said.result().unwrap()["resultType"], "complete", "{said:?}");
    }
    for carrier in [Carrier::WebSocket, Carrier::Tcp] {
        let mut client = Client::session(&gateway, carrier, &token).await;
        for (text, passes) in [(BAD, false), ("rm", true)] {
            let params = call("echo", json!({ "text": text }));
            let said = client.ask(json!(text), "tools/call", params).await;
            assert_eq!(passed(&said), passes, "{carrier:?} {text}");
        }
    }
    let below = |path: &str| {
        let mut below = endpoint.clone();
        below.path = path.to_owned();
        below
    };
    let talk = Talk::sse(&below("/mcp/sse")).await.unwrap();
    both(talk).await;
    // A server alone would be a way around.
    let alone = Request::post("/servers/demo/mcp")
        .bearer(&token)
        .rpc(&Value::Null);
    let answer = gateway.connect().await.unwrap().ask(&alone).await.unwrap();
    assert_eq!(answer.status(), 404);
    gateway.shutdown().await;
}

async fn both(talk: Talk) {
    let mut client = Conversation::legacy(talk, "2024-11-05", json!({})).await.unwrap();
    for (text, passes) in [(BAD, false), ("rm", true)] {
        let said = client.call("echo", json!({ "text": text })).await.unwrap();
        assert_eq!(passed(&said.answer), passes, "{text}");
    }
}

#[tokio::test]
async fn standard_input_has_its_rules_too_and_the_trail_names_them() {
    let scene = Scene::with(NOT_THIS, Vec::new()).await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let said = session.call("echo", json!({ "text": BAD })).await.unwrap();
    assert!(!passed(&said.answer));
    let said = session.call("echo", json!({ "text": 7 })).await.unwrap();
    assert!(!passed(&said.answer), "what cannot be decided");
    let said = session.call("echo", json!({})).await.unwrap();
    assert!(!passed(&said.answer), "what is missing");
    drop(session);
    let mut gateway = scene.gateway;
    // Calls are written down in the background, at the latest when it stops.
    gateway.stop().await.unwrap();
    let trail = gateway.run(&["-o", "json", "audit", "tail"], "").await.unwrap();
    for reason in [
        "\"rule 1\"",
        "\"rule 1: the types do not fit\"",
        "\"rule 1: a key is missing\"",
    ] {
        assert!(trail.contains(reason), "{reason}: {trail}");
    }
    assert!(!trail.contains(BAD), "{trail}");
    let mut command = gateway.command().unwrap();
    command.args(["serve", "--stdio"]).stderr(Stdio::null());
    both(Talk::stdio(&mut command).unwrap()).await;
}

/// Whether a call through [`Scene`] was let pass by its rules.
async fn allowed(session: &mut Legacy, tool: &str, arguments: Value) -> bool {
    let said = session.call(tool, arguments).await.unwrap();
    let text = said.answer["result"]["content"][0]["text"].as_str();
    text != Some("A rule of the gateway does not allow this call.")
}

#[tokio::test]
async fn numbers_and_lists_at_the_bound_that_a_rule_draws() {
    let behind = server(Era::Dual).await.unwrap();
    let rules = "profiles:
  default:
    servers: [everything]
    rules:
      - { tools: [add], require: args.a <= 100 && args.b + 1 <= 101 }
      - { tools: [arg*], require: \"args.paths.all(p, ['/pub/', '/tmp/'].exists(d, p.startsWith(d)) && !p.contains('..'))\" }
";
    let config = format!("{}{rules}", servers(&[("everything", &behind)]));
    let scene = Scene::with(&config, vec![behind]).await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    for (a, b, passes) in [
        (json!(100), json!(100), true),
        (json!(101), json!(0), false),
        (json!(0), json!(101), false),
        (json!(100.0), json!(1), true),
        (json!(100.000_000_1), json!(1), false),
        (json!(-1e300), json!(-5), true),
        (json!(u64::MAX), json!(1), false),
        (json!("1"), json!(1), false),
        (json!(1), json!(i64::MAX), false),
    ] {
        let arguments = json!({ "a": a, "b": b });
        assert_eq!(allowed(&mut session, "add", arguments).await, passes, "{a} {b}");
    }
    for (paths, passes) in [
        (json!(["/pub/a", "/tmp/b"]), true),
        (json!([]), true),
        (json!(["/pub/a", "/etc/passwd"]), false),
        (json!(["/pub/../etc/passwd"]), false),
        (json!([["/pub/a"]]), false),
        (json!("/pub/a"), false),
        (json!(vec!["/pub/a"; 3333]), true),
        (json!(vec!["/pub/a"; 3334]), false),
    ] {
        let arguments = json!({ "paths": paths });
        assert_eq!(
            allowed(&mut session, "arguments", arguments).await,
            passes,
            "{paths}"
        );
    }
    // Rules that are not about it cost nothing and change nothing.
    assert!(allowed(&mut session, "echo", json!({ "text": "x".repeat(300_000) })).await);
    let long = json!({ "paths": [], "more": "x".repeat(300_000) });
    assert!(
        !allowed(&mut session, "arguments", long).await,
        "longer than rules read"
    );
}

#[tokio::test]
async fn jr_01_no_spelling_of_arguments_is_read_in_two_ways() {
    let behind = server(Era::Dual).await.unwrap();
    let rules = "profiles:
  default:
    servers: [everything]
    rules:
      - { tools: [\"*\"], deny: \"args.path != '/pub' || args.o.n != 1\" }
";
    let config = format!("{}{rules}", servers(&[("everything", &behind)]));
    let scene = Scene::with(&config, vec![behind]).await.unwrap();
    let session = scene.legacy(json!({})).await.unwrap();
    for (arguments, reaches) in [
        (r#"{"path":"/pub","o":{"n":1}}"#, true),
        (r#"{"p\u0061th":"\/pub","o":{"n":1.0}}"#, true),
        (r#"{"path":"/etc","path":"/pub","o":{"n":1}}"#, false),
        (r#"{"path":"/pub","path":"/etc","o":{"n":1}}"#, false),
        (r#"{"path":"/pub","p\u0061th":"/etc","o":{"n":1}}"#, false),
        (r#"{"path":"/pub","o":{"n":1,"n":2}}"#, false),
        (r#"{"path":"/pub","o":{"n":1},"o":{"n":2}}"#, false),
        (
            r#"{"path":"/pub","o":{"n":1}},"arguments":{"path":"/etc","o":{"n":1}}"#,
            false,
        ),
        (r#"{"path":"/pub","o":{"n":1},"x":"\ud800"}"#, false),
        (r#"{"path":"/pub","PATH":"/etc","o":{"n":1}}"#, false),
        (r#"{"path":"/pub","o":{"n":1,"N":2}}"#, false),
        (r#"{"path":"/pub","o":{"n":1},"env":{"PATH":"/bin"}}"#, true),
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"arguments","arguments":{arguments}}}}}"#
        );
        let request = session.with_session(Request::post("/mcp"));
        let request = request
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(body);
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap();
        let text = answer.text();
        // The server says what it has read.
        let read = text.contains(r#"\"path\":\"/pub\""#) && !text.contains("/etc");
        assert_eq!(
            read && !text.contains(r#""isError":true"#),
            reaches,
            "{arguments}: {text}"
        );
        assert!(reaches || !text.contains("path"), "{arguments}: {text}");
    }
}

/// A client of 2025-11-25 for somebody.
async fn session(gateway: &TestGateway, name: &str) -> Legacy {
    let token = gateway.log_in(name, "default").await.unwrap().access;
    let endpoint = gateway.endpoint("default", &token);
    Legacy::open(endpoint, "2025-11-25", json!({})).await.unwrap()
}

async fn listed(session: &mut Legacy) -> Vec<String> {
    let list = session.request("tools/list", json!({})).await.unwrap();
    names(list.result().unwrap())
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn is_11_what_a_rule_about_people_forbids_is_not_there() {
    let config = "profiles:
  default:
    servers: [\"*\"]
    rules:
      - { tools: [echo], require: \"principal.admin && principal.name == 'ada'\", message: Only ada. }
      - { tools: [echo], deny: args.text == 'no' }
";
    let gateway = TestGateway::start(config).await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway.add_user("eve", false).await.unwrap();
    let (mut ada, mut eve) = (session(&gateway, "ada").await, session(&gateway, "eve").await);
    // Rules know of people a moment after the command that adds them.
    until(Instant::now() + PATIENCE, async || {
        Ok(listed(&mut ada).await.contains(&"echo".to_owned()))
    })
    .await
    .unwrap();
    let shown = listed(&mut eve).await;
    assert!(
        shown.contains(&"add".to_owned()) && !shown.contains(&"echo".to_owned()),
        "{shown:?}"
    );
    let unknown = |said: Exchange, name: &str| {
        assert_eq!(said.error_code().unwrap(), -32602, "{said:?}");
        said.answer["error"]["message"]
            .as_str()
            .unwrap()
            .replace(name, "NAME")
    };
    for text in ["yes", "no"] {
        let forbidden = eve.call("echo", json!({ "text": text })).await.unwrap();
        let there_is_none = eve.call("ohce", json!({ "text": text })).await.unwrap();
        assert_eq!(unknown(forbidden, "echo"), unknown(there_is_none, "ohce"));
    }
    let mut modern = Modern::new(
        gateway.endpoint("default", &gateway.log_in("eve", "default").await.unwrap().access),
        json!({}),
    );
    let list = modern.request("tools/list", json!({})).await.unwrap();
    assert!(!names(list.result().unwrap()).contains(&"echo"));
    assert_eq!(list.result().unwrap()["cacheScope"], "private", "{list:?}");
    assert!(
        ada.call("echo", json!({ "text": "yes" }))
            .await
            .unwrap()
            .result()
            .is_ok()
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn groups_count_from_the_command_on_and_commands_have_rules_too() {
    let config = "profiles:
  default:
    servers: [\"*\"]
    rules:
      - { tools: [echo], require: \"'ops' in principal.groups || principal.kind == 'operator'\" }
      - { tools: [echo], deny: args.text == 'no', message: Not no. }
";
    let scene = Scene::with(config, Vec::new()).await.unwrap();
    let mut ada = scene.legacy(json!({})).await.unwrap();
    for (groups, there) in [(&["dev", "ops"][..], true), (&["dev"], false), (&["ops"], true)] {
        let command = [&["user", "groups", "ada"], groups].concat();
        scene.gateway.run(&command, "").await.unwrap();
        until(Instant::now() + PATIENCE, async || {
            Ok(listed(&mut ada).await.contains(&"echo".to_owned()) == there)
        })
        .await
        .unwrap();
        let said = ada.call("echo", json!({ "text": "x" })).await.unwrap();
        assert_eq!(said.result().is_ok(), there, "{said:?}");
    }
    for (text, denied) in [("yes", false), ("no", true)] {
        let arguments = json!({ "text": text }).to_string();
        let called = scene
            .gateway
            .run(&["tools", "call", "echo", &arguments], "")
            .await;
        assert_eq!(called.is_err(), denied, "{called:?}");
    }
}

#[tokio::test]
async fn time_is_the_gateways_and_lists_do_not_depend_on_it() {
    // The clock of tests stands still unless it is moved.
    let config = |rule: &str| {
        format!(
            "profiles:\n  default:\n    servers: [\"*\"]\n    rules:\n      - {{ tools: [echo], {rule} }}\n"
        )
    };
    let gateway = TestGateway::start("").await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    let mut ada = session(&gateway, "ada").await;
    let said = ada.call("time", json!({})).await.unwrap();
    let now = said.text().unwrap().to_owned();
    let now = now
        .split_whitespace()
        .find(|word| word.contains('T'))
        .unwrap_or_else(|| panic!("{now}"));
    let until = format!("require: \"now <= timestamp('{now}') + duration('1m')\"");
    gateway.configure(&config(&until)).await.unwrap();
    assert!(allowed(&mut ada, "echo", json!({ "text": "x" })).await);
    gateway.advance(Duration::from_secs(60));
    assert!(
        allowed(&mut ada, "echo", json!({ "text": "x" })).await,
        "at the limit"
    );
    gateway.advance(Duration::from_secs(1));
    assert!(
        !allowed(&mut ada, "echo", json!({ "text": "x" })).await,
        "past it"
    );
    assert!(listed(&mut ada).await.contains(&"echo".to_owned()));
    gateway.shutdown().await;
}

#[tokio::test]
async fn changed_rules_hold_from_the_reload_on_and_broken_ones_change_nothing() {
    let gateway = TestGateway::start(NOT_THIS).await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    let mut ada = session(&gateway, "ada").await;
    let echo = json!({ "text": BAD });
    let denied = |said: Exchange| said.answer["result"]["isError"] == true;
    assert!(denied(ada.call("echo", echo.clone()).await.unwrap()));
    let broken = gateway
        .configure(&NOT_THIS.replace("args.text", "arg.text"))
        .await;
    assert!(
        broken
            .unwrap_err()
            .to_string()
            .contains("there is no variable `arg`")
    );
    assert!(
        denied(ada.call("echo", echo.clone()).await.unwrap()),
        "the former ones"
    );
    gateway.configure(&NOT_THIS.replace("rm ", "dd ")).await.unwrap();
    assert!(!denied(ada.call("echo", echo.clone()).await.unwrap()));
    assert!(denied(
        ada.call("echo", json!({ "text": "dd if" })).await.unwrap()
    ));
    gateway.configure("").await.unwrap();
    assert!(!denied(
        ada.call("echo", json!({ "text": "dd if" })).await.unwrap()
    ));
    gateway.shutdown().await;
}

#[tokio::test]
async fn n_06_nobody_is_asked_to_approve_what_a_rule_denies() {
    let asks = NOT_THIS.replace("rules:", "tools: { ask: [echo] }\n    rules:");
    let gateway = TestGateway::start(&asks).await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    let mut ada = session(&gateway, "ada").await;
    let said = ada.call("echo", json!({ "text": BAD })).await.unwrap();
    assert!(!passed(&said.answer));
    let said = ada
        .call("echo", json!({ "text": "ls" }))
        .await
        .unwrap()
        .answer
        .to_string();
    let at = said.find("/approve/").unwrap_or_else(|| panic!("{said}"));
    let id: String = said[at + 9..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .collect();
    let mut browser = gateway.browser().unwrap();
    let page = browser.open("/login").await.unwrap();
    let form = page
        .form_with("password")
        .unwrap()
        .fill("username", "ada")
        .fill("password", PASSWORD);
    browser.submit(&page, &form).await.unwrap();
    let shown = browser.open(&format!("/approve/{id}")).await.unwrap();
    let form = shown.form_with("transaction").unwrap().press("decision", "allow");
    browser.submit(&shown, &form).await.unwrap();
    // The rules hold when it runs, too.
    gateway.configure(&asks.replace("rm ", "ls")).await.unwrap();
    let said = ada.call("echo", json!({ "text": "ls" })).await.unwrap();
    assert!(!passed(&said.answer));
    gateway.configure(&asks).await.unwrap();
    let said = ada.call("echo", json!({ "text": "ls" })).await.unwrap();
    assert!(passed(&said.answer));
    gateway.shutdown().await;
}

#[tokio::test]
async fn prompts_and_resources_are_judged_by_what_they_have() {
    let behind = server(Era::Modern).await.unwrap();
    let rules = "profiles:
  default:
    servers: [everything]
    rules:
      - { prompts: [test_prompt_with_arguments], require: \"args.arg1 != 'no'\", message: Not this one. }
      - { prompts: [test_simple_prompt], deny: principal.admin }
      - { resources: [\"test://*\"], require: \"resource != 'test://static-binary'\" }
      - { deny: \"method == 'completion/complete'\" }
";
    let config = format!("{}{rules}", servers(&[("everything", &behind)]));
    let scene = Scene::with(&config, vec![behind]).await.unwrap();
    let mut client = scene.modern(json!({}));
    let prompt = |arg1: &str| json!({ "name": "test_prompt_with_arguments", "arguments": { "arg1": arg1, "arg2": "b" } });
    assert!(
        client
            .request("prompts/get", prompt("yes"))
            .await
            .unwrap()
            .result()
            .is_ok()
    );
    let denied = client.request("prompts/get", prompt("no")).await.unwrap();
    assert_eq!(
        (denied.error_code().unwrap(), &denied.answer["error"]["message"]),
        (-32602, &json!("Not this one."))
    );
    let list = client
        .request("prompts/list", json!({}))
        .await
        .unwrap()
        .answer
        .to_string();
    assert!(
        list.contains("test_prompt_with_arguments") && !list.contains("test_simple_prompt"),
        "{list}"
    );
    // What is completed is no call yet.
    let reference = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let asked = json!({ "ref": reference, "argument": { "name": "arg1", "value": "n" } });
    assert!(
        client
            .request("completion/complete", asked)
            .await
            .unwrap()
            .result()
            .is_ok()
    );

    let read = |uri: &str| json!({ "uri": uri });
    for (uri, there) in [
        ("test://static-text", true),
        ("test://static-binary", false),
        ("test://template/1/data", true),
    ] {
        let said = client.request("resources/read", read(uri)).await.unwrap();
        assert_eq!(said.result().is_ok(), there, "{uri} {said:?}");
        let list = client
            .request("resources/list", json!({}))
            .await
            .unwrap()
            .answer
            .to_string();
        assert!(there || !list.contains(uri), "{list}");
    }
    let templates = client
        .request("resources/templates/list", json!({}))
        .await
        .unwrap();
    assert!(
        templates.answer.to_string().contains("test://template/"),
        "{templates:?}"
    );
}

#[tokio::test]
async fn a_task_is_judged_as_a_call_once_and_for_who_may_know_of_it() {
    let behind = server(Era::Modern).await.unwrap();
    let rules = "profiles:
  default:
    servers: [everything]
    rules:
      - { tools: [slow_compute], require: args.seconds <= 1000 }
      - { deny: \"method == 'completion/complete' || !principal.admin\" }
";
    let config = format!("{}{rules}", servers(&[("everything", &behind)]));
    let scene = Scene::with(&config, vec![behind]).await.unwrap();
    let tasks = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let mut client = scene.modern(tasks);
    let slow = |seconds: u32| json!({ "seconds": seconds });
    let denied = client.call("slow_compute", slow(1001)).await.unwrap();
    assert_eq!(denied.result().unwrap()["isError"], true, "{denied:?}");
    let made = client.call("slow_compute", slow(1000)).await.unwrap();
    let task = json!({ "taskId": made.result().unwrap()["taskId"] });
    for method in ["tasks/get", "tasks/cancel"] {
        let said = client.request(method, task.clone()).await.unwrap();
        assert!(said.result().is_ok(), "{method} {said:?}");
    }
}
