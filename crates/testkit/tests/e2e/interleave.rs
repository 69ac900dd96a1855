//! Fifty people call at once with the same ids and the same progress tokens, in both eras, at servers
//! that all of them share: every answer and every notification has to reach its own caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use sallyport_testkit::everything::Era;
use sallyport_testkit::http::{Connection, Request};
use sallyport_testkit::mcp::{Endpoint, Legacy, Modern};
use sallyport_testkit::process::{GatewayProcess, program};
use serde_json::{Value, json};

use crate::support::server;

/// How many people call.
const PEOPLE: usize = 50;
/// Ids and tokens are the numbers below this, for everybody.
const IDS: usize = 8;
/// The tools, one of each server; none of the servers knows who calls.
const TOOLS: [&str; 3] = ["old__echo_progress", "new__echo_progress", "web__echo_progress"];

/// The calls that are still to be made.
struct Calls {
    made: AtomicUsize,
    wanted: usize,
    /// So many of a connection's calls in a row are for the same server.
    in_a_row: usize,
}

impl Calls {
    /// The number of the next call.
    fn next(&self) -> Option<usize> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        (number < self.wanted).then_some(number)
    }

    /// The tool of a connection's next call.
    fn tool(&self, before: usize) -> &'static str {
        let server = before / self.in_a_row;
        TOOLS.get(server % TOOLS.len()).copied().unwrap_or_default()
    }
}

/// A call: what nobody else says, under an id and a token that everybody uses.
struct Call {
    id: usize,
    text: String,
    params: Value,
}

impl Call {
    fn new(who: &str, number: usize, tool: &str) -> Self {
        let text = format!("{who}, call {number}");
        let id = number / TOOLS.len() % IDS;
        let params = json!({
            "name": tool, "arguments": { "text": text }, "_meta": { "progressToken": id },
        });
        Self { id, text, params }
    }

    /// Takes what came for the call: whether it was the response, and nothing of another call.
    fn take(&self, message: &Value, told: &mut usize) -> anyhow::Result<bool> {
        if message.get("method").is_some() {
            let params = message.get("params").context("params")?;
            ensure!(
                params.get("progressToken") == Some(&json!(self.id))
                    && params.get("message") == Some(&json!(self.text)),
                "{} was told {message}",
                self.text
            );
            *told += 1;
            return Ok(false);
        }
        let text = message.pointer("/result/content/0/text");
        ensure!(
            message.get("id") == Some(&json!(self.id)) && text == Some(&json!(self.text)) && *told == 1,
            "{} got {message} after {told} notifications",
            self.text
        );
        Ok(true)
    }

    /// Makes the call on a connection and gives the connection back.
    async fn over_http(&self, mut connection: Connection, request: &Request) -> anyhow::Result<Connection> {
        let head = connection.begin(request).await?;
        ensure!(head.status == 200 && head.is_event_stream(), "{head:?}");
        let mut events = connection.events();
        let (mut told, mut done) = (0, false);
        while let Some(event) = events.next().await? {
            // The first event of a stream that can be resumed has no data.
            if !event.data.is_empty() {
                ensure!(!done, "more after the response: {event:?}");
                done = self.take(&event.json(), &mut told)?;
            }
        }
        ensure!(done, "no response to {}", self.text);
        Ok(events.into_connection())
    }
}

async fn modern(endpoint: Endpoint, who: String, calls: Arc<Calls>) -> anyhow::Result<()> {
    let client = Modern::new(endpoint.clone(), json!({}));
    let mut connection = Connection::open(endpoint.address, &endpoint.host).await?;
    for before in 0.. {
        let Some(number) = calls.next() else { break };
        let call = Call::new(&who, number, calls.tool(before));
        let id = u64::try_from(call.id)?;
        let request = client.http(&client.message(id, "tools/call", call.params.clone()));
        connection = call.over_http(connection, &request).await?;
    }
    Ok(())
}

async fn legacy(endpoint: Endpoint, who: String, calls: Arc<Calls>) -> anyhow::Result<()> {
    let session = Legacy::open(endpoint.clone(), "2025-11-25", json!({})).await?;
    let mut connection = Connection::open(endpoint.address, &endpoint.host).await?;
    for before in 0.. {
        let Some(number) = calls.next() else { break };
        let call = Call::new(&who, number, calls.tool(before));
        let message =
            json!({ "jsonrpc": "2.0", "id": call.id, "method": "tools/call", "params": call.params });
        let request = session.with_session(Request::post(&endpoint.path)).rpc(&message);
        connection = call.over_http(connection, &request).await?;
    }
    Ok(())
}

/// The gateway, and an endpoint for each person.
async fn people(gateway: &GatewayProcess) -> anyhow::Result<Vec<(String, Endpoint)>> {
    let names = (0..PEOPLE).map(|number| format!("person{number:02}"));
    let mut people = Vec::new();
    for name in names {
        gateway.add_user(&name, false).await?;
        let issue = ["token", "issue", "--user", &name, "--ttl", "2h"];
        let token = gateway.run(&issue, "").await?;
        people.push((name, gateway.endpoint("default", token.trim())));
    }
    Ok(people)
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are for whoever runs the test by itself"
)]
async fn run(wanted: usize, in_a_row: usize) -> anyhow::Result<()> {
    let web = server(Era::Dual).await?;
    let everything = program("sallyport-everything")?;
    let child = |name: &str, era: &str| {
        format!(
            "  {name}: {{ command: \"{}\", args: [--stdio, --era, {era}], process: shared }}\n",
            everything.display()
        )
    };
    let more = format!(
        "workers: 2\nservers:\n{}{}  web: {{ url: \"{}\" }}\nprofiles:\n  default: {{ servers: [old, new, web], naming: always }}\n",
        child("old", "legacy"),
        child("new", "modern"),
        web.url()
    );
    let mut gateway = GatewayProcess::prepare(&more)?;
    gateway.add_user("operator", true).await?;
    gateway.serve().await?;
    let people = people(&gateway).await?;
    let calls = Arc::new(Calls {
        made: AtomicUsize::new(0),
        wanted,
        in_a_row,
    });
    let begin = Instant::now();
    let mut lanes = Vec::new();
    for (name, endpoint) in people {
        let who = |carrier: &str| format!("{name} over {carrier}");
        let calls = || Arc::clone(&calls);
        lanes.push(tokio::spawn(modern(
            endpoint.clone(),
            who("modern HTTP"),
            calls(),
        )));
        lanes.push(tokio::spawn(legacy(endpoint, who("a session"), calls())));
    }
    let count = lanes.len();
    for ended in try_join_all(lanes).await? {
        ended?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{wanted} calls of {PEOPLE} people on {count} connections in {seconds:.1} s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_05_p_03_p_64_interleaved_calls_do_not_cross() {
    run(10_000, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_05_p_03_p_64_calls_of_connections_that_move_to_where_a_server_is_read_do_not_cross() {
    run(10_000, 50).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes, and with optimised programs only: cargo xtask test --only interleave"]
async fn is_05_p_03_p_64_a_million_interleaved_calls_do_not_cross() {
    run(1_000_000, 50).await.unwrap();
}
