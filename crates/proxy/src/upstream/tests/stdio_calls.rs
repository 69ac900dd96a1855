//! Calls to child processes.

use std::sync::Arc;

use serde_json::Value;

use super::support::{
    House, all, eventually, last, legacy, modern, principal, script, stdio, tool_call, with_token,
};
use crate::exchange::{Answered, Message, Reply};
use crate::upstream::Status;
use futures_util::StreamExt as _;

#[tokio::test]
async fn a_legacy_process_is_found_and_called() {
    let house = House::new();
    let upstream = house.with(script("", "text called")).await;
    let state = upstream.state();
    assert_eq!(state.status, Status::Ready);
    assert!(state.speaks.legacy && !state.speaks.modern && state.fresh);
    assert_eq!(state.catalogue.tools.len(), 1);
    for view in [legacy("a"), modern("{}")] {
        let link = house.link(&upstream, &view).await;
        let answer = house.call(&link, "\"x\\u0031\"", "{}").await.expect("an answer");
        assert!(
            answer.starts_with(r#"{"jsonrpc":"2.0","id":"x\u0031","#),
            "the id is byte for byte: {answer}"
        );
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_03_p_64_equal_ids_and_tokens_do_not_meet() {
    let house = House::new();
    // The second call is answered first, and each one's progress comes in between.
    let on_call = r#"
      if [ -z "$one" ]; then one=$id; continue; fi
      say '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'$one',"progress":1}}'
      say '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'$id',"progress":2}}'
      say '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":999,"progress":3}}'
      text second; id=$one; text first"#;
    let upstream = house.with(script("", on_call)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let first = link.call(&house.worker, with_token("1", "\"tok\""));
    let second = link.call(&house.worker, with_token("1", "\"tok\""));
    let (first, second) = tokio::join!(first, second);
    let mut texts = Vec::new();
    for reply in [first, second] {
        let (before, answer) = all(reply.expect("an answer")).await.expect("to the end");
        // Which of the two reached the process first is left open.
        let nth = if answer.contains("first") { 1 } else { 2 };
        assert!(answer.contains(r#""id":1"#), "{answer}");
        let progress = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":"tok","progress":{nth}}}}}"#
        );
        assert_eq!(before, [progress]);
        texts.push(nth);
    }
    assert_ne!(texts[0], texts[1]);
    assert_eq!(upstream.counters().foreign_messages.get(), 1);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_65_a_dropped_call_is_cancelled_with_the_servers_id() {
    let house = House::new();
    let file = house.dir.path().join("seen");
    let first = format!("log={}", file.display());
    let upstream = house
        .with(script(
            &first,
            r#"say "$line" >"$log"; read -r next; say "$next" >>"$log""#,
        ))
        .await;
    let link = house.link(&upstream, &legacy("a")).await;
    let mut call = Box::pin(link.call(&house.worker, tool_call("\"mine\"", "{}")));
    let seen = || std::fs::read_to_string(&file).unwrap_or_default();
    tokio::select! {
        _ = &mut call => panic!("nobody answers"),
        () = eventually("the call", || seen().contains("tools/call")) => {}
    }
    drop(call);
    eventually("the cancellation", || seen().contains("notifications/cancelled")).await;
    let seen = seen();
    let lines: Vec<Value> = seen
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["id"], lines[1]["params"]["requestId"]);
    assert!(lines[0]["id"].is_u64(), "never the client's id: {seen}");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_question_reaches_the_client_of_the_call_and_its_answer_the_server() {
    let house = House::new();
    let on_call = r#"
      say '{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{"message":"?","requestedSchema":{}}}'
      call=$id; read -r got
      case $got in *'"id":"q1"'*'"action":"accept"'*) id=$call; text accepted;; *) id=$call; text "no";; esac"#;
    let upstream = house.with(script("", on_call)).await;
    for view in [legacy("a"), modern("{\"elicitation\":{}}")] {
        let link = house.link(&upstream, &view).await;
        let Ok(Reply::Stream(mut messages)) = link.call(&house.worker, tool_call("1", "{}")).await else {
            panic!("a question comes first");
        };
        let Some(Ok(Message::Question(question))) = messages.next().await else {
            panic!("a question");
        };
        assert_eq!(&*question.method, "elicitation/create");
        let answer = Answered::Result("{\"action\":\"accept\"}".into());
        question.answer.send(answer).expect("somebody waits");
        let Some(Ok(Message::Terminal(answer))) = messages.next().await else {
            panic!("an answer");
        };
        assert!(String::from_utf8_lossy(&answer).contains("accepted"));
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_83_what_the_client_did_not_declare_is_not_asked_of_it() {
    let house = House::new();
    let on_call = r#"
      say '{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}'
      call=$id; read -r got
      case $got in *'"id":7'*-32601*) id=$call; text refused;; *) id=$call; text "passed";; esac"#;
    let upstream = house.with(script("", on_call)).await;
    let link = house.link(&upstream, &modern("{\"elicitation\":{}}")).await;
    let answer = house.call(&link, "1", "{}").await.expect("an answer");
    assert!(answer.contains("refused"), "{answer}");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_100_sessions_and_principals_have_their_own_processes_unless_shared() {
    let house = House::new();
    let count = r#"n=$((n+1)); text "$$ $n""#;
    let pid = |answer: &str| {
        answer
            .split("text\":\"")
            .nth(1)
            .expect("text")
            .split(' ')
            .next()
            .expect("a number")
            .to_owned()
    };
    for (shared, processes) in [(false, 3), (true, 1)] {
        let mut spec = script("n=0", count);
        spec.shared = shared;
        spec.fingerprint = [u8::from(shared); 32];
        let upstream = house.with(spec).await;
        let mut pids = std::collections::BTreeSet::new();
        let mut other = legacy("a");
        other.principal = principal("other");
        for view in [legacy("a"), legacy("b"), other, legacy("a")] {
            let link = house.link(&upstream, &view).await;
            pids.insert(pid(&house.call(&link, "1", "{}").await.expect("an answer")));
        }
        assert_eq!(pids.len(), processes, "shared: {shared}");
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_modern_process_is_spoken_to_in_its_era_by_clients_of_both() {
    let house = House::new();
    let server = r#"
while IFS= read -r line; do
  id=${line#*'"id":'}; id=${id%%,*}
  case $line in
    *server/discover*) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}\n' "$id";;
    *tools/list*) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","tools":[{"name":"t","inputSchema":{"type":"object"}}]}}\n' "$id";;
    *protocolVersion*2026-07-28*) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[]}}\n' "$id";;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no version"}}\n' "$id";;
  esac
done"#;
    let upstream = house.with(stdio("sh", &["-c", server])).await;
    assert!(upstream.state().speaks.modern, "{:?}", upstream.state().status);
    let link = house.link(&upstream, &legacy("a")).await;
    assert_eq!(link.era(), sallyport_mcp::Era::Modern);
    let answer = house.call(&link, "1", "{}").await.expect("an answer");
    assert!(answer.contains("complete"), "{answer}");
    let link = house.link(&upstream, &modern("{}")).await;
    let mut call = tool_call("1", "{}");
    call.params = r#"{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#.into();
    let reply = link.call(&house.worker, call).await.expect("an answer");
    assert!(last(reply).await.expect("whole").contains("complete"));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_process_is_read_by_the_thread_that_calls_most_and_answers_all() {
    let house = House::new();
    let upstream = house.with(script("", "text $id")).await;
    let link = house.link(&upstream, &modern("{}")).await;
    assert!(house.call(&link, "0", "{}").await.is_ok());
    let (busy, worker) = (Arc::clone(&link), Arc::clone(&house.worker));
    let there = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for id in 1..=600 {
                let reply = busy.call(&worker, tool_call(&id.to_string(), "{}")).await;
                let answer = last(reply.expect("a reply")).await.expect("an answer");
                assert!(answer.contains(&format!("\"id\":{id},")), "{answer}");
            }
        });
    });
    // Others are answered meanwhile, and after that thread has taken its reader with it.
    let joined = tokio::task::spawn_blocking(|| there.join());
    assert!(house.call(&link, "\"meanwhile\"", "{}").await.is_ok());
    joined.await.expect("joined").expect("no panic");
    eventually("a process without a reader ends", || {
        upstream.counters().spawns.get() > 0
    })
    .await;
    for id in ["\"a\"", "\"b\""] {
        assert!(house.call(&link, id, "{}").await.is_ok());
    }
    assert_eq!(upstream.counters().crashes.get(), 0, "its end was no crash");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_89_a_program_that_has_become_a_legacy_one_is_asked_again_and_the_call_is_not_repeated() {
    let house = House::new();
    let server = r#"
[ -e "$PWD/old" ] && old=1
while IFS= read -r line; do
  id=${line#*'"id":'}; id=${id%%,*}
  case $line in *tools/call*) echo call >> "$PWD/calls";; esac
  case $old$line in
    1*'"method":"initialize"'*) met=1; printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}}\n' "$id";;
    1*notifications/*) ;;
    1*) if [ -z "$met" ]; then printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"Invalid request parameters"}}\n' "$id"
        else printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[],"tools":[]}}\n' "$id"; fi;;
    *server/discover*) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}\n' "$id";;
    *tools/list*) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","tools":[]}}\n' "$id";;
    *'"id":'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[]}}\n' "$id";;
  esac
done"#;
    let upstream = house.with(stdio("sh", &["-c", server])).await;
    assert!(upstream.state().speaks.modern, "{:?}", upstream.state().status);
    std::fs::write(house.dir.path().join("old"), "").expect("written");
    // The first process of this client is of the new time, in which there is a handshake.
    let link = house.link(&upstream, &legacy("a")).await;
    let refused = house.call(&link, "1", "{}").await.expect("an answer");
    assert!(refused.contains("-32602"), "{refused}");
    house
        .state(|state| state.speaks.legacy && !state.speaks.modern && state.fresh)
        .await;
    let calls = || std::fs::read_to_string(house.dir.path().join("calls")).unwrap_or_default();
    assert_eq!(calls().lines().count(), 1, "sent once");
    let link = house.link(&upstream, &legacy("a")).await;
    assert_eq!(link.era(), sallyport_mcp::Era::Legacy);
    let answer = house.call(&link, "2", "{}").await.expect("an answer");
    assert!(answer.contains("content"), "{answer}");
    house.upstreams.shutdown().await;
}
