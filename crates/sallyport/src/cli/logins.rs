//! `client logins`: what became of log-ins, read from the store.

use sallyport_core::Timestamp;
use sallyport_oauth::flight::step::Named;
use sallyport_oauth::flight::trace::Sender;
use sallyport_oauth::flight::{Trace, Verdict};
use serde_json::{Value, json};

use super::Failure;
use super::output::{self, when};
use super::verb::Run;

pub(super) async fn run(run: &Run, id: Option<&str>) -> Result<(), Failure> {
    let base = run.base().await?;
    let now = base.clock.now();
    let traces = base.store.logins(Timestamp::EPOCH).await;
    base.store.close().await;
    let traces = traces?;
    match id {
        None => list(run, &traces, now),
        Some(id) => show(run, find(&traces, id)?, now),
    }
}

fn find<'a>(traces: &'a [Trace], id: &str) -> Result<&'a Trace, Failure> {
    let mut found = traces
        .iter()
        .filter(|trace| !id.is_empty() && trace.id.starts_with(id));
    match (found.next(), found.next()) {
        (Some(trace), None) => Ok(trace),
        (Some(_), Some(_)) => Err(Failure::failed(format!("several log-ins begin with `{id}`"))),
        (None, _) => Err(Failure::failed(format!(
            "there is no log-in `{id}`; `sallyport client logins` shows those that there are"
        ))),
    }
}

fn list(run: &Run, traces: &[Trace], now: Timestamp) -> Result<(), Failure> {
    if run.is_json() {
        let all: Vec<Value> = traces.iter().map(|trace| described(trace, now)).collect();
        return Ok(output::json(&all)?);
    }
    let rows: Vec<Vec<String>> = traces
        .iter()
        .map(|trace| {
            vec![
                trace.id.clone(),
                when(trace.begun),
                client(trace),
                trace
                    .senders
                    .first()
                    .map(|sender| sender.peer.to_string())
                    .unwrap_or_default(),
                trace.verdict(now).text,
            ]
        })
        .collect();
    let headings = ["ID", "BEGAN", "CLIENT", "FROM", "VERDICT"];
    Ok(output::text(&output::table(&headings, &rows))?)
}

fn show(run: &Run, trace: &Trace, now: Timestamp) -> Result<(), Failure> {
    if run.is_json() {
        return Ok(output::json(&described(trace, now))?);
    }
    let mut text = format!("{}  {}  {}\n\n", trace.id, when(trace.begun), client(trace));
    let rows: Vec<Vec<String>> = trace
        .steps
        .iter()
        .map(|entry| {
            let after = entry.at.since(trace.begun).as_secs_f64();
            let sender = entry.sender.and_then(|at| trace.senders.get(at));
            let times = if entry.times > 1 {
                format!(" ({} times)", entry.times)
            } else {
                String::new()
            };
            vec![
                format!("{after:.1} s"),
                sender.map(name).unwrap_or_default(),
                entry.step.words() + &times,
            ]
        })
        .collect();
    text.push_str(&output::table(&["AFTER", "WHO", "WHAT"], &rows));
    if trace.left_out > 0 {
        text.push_str(&format!(
            "({} steps in the middle were left out)\n",
            trace.left_out
        ));
    }
    let Verdict {
        text: verdict, mend, ..
    } = trace.verdict(now);
    text.push_str(&format!("\n{verdict}\n"));
    if !mend.is_empty() {
        text.push_str(&format!("Mend: {mend}\n"));
    }
    Ok(output::text(&text)?)
}

fn client(trace: &Trace) -> String {
    let agent = || {
        trace
            .senders
            .first()
            .map(|sender| sender.agent.as_str())
            .unwrap_or_default()
    };
    trace.client.as_ref().map_or_else(agent, Named::label).to_owned()
}

/// The program in one word, and where it runs.
fn name(sender: &Sender) -> String {
    let program = sender.agent.as_str().split(' ').next().unwrap_or_default();
    format!("{program} {}", sender.peer).trim_start().to_owned()
}

/// A log-in as data: times as text, and without what only tells which steps belong together.
fn described(trace: &Trace, now: Timestamp) -> Value {
    let steps: Vec<Value> = trace
        .steps
        .iter()
        .map(|entry| {
            let mut step = serde_json::to_value(&entry.step).unwrap_or_default();
            if let Some(members) = step.as_object_mut() {
                members.insert("at".into(), when(entry.at).into());
                members.insert("times".into(), entry.times.into());
                members.insert("sender".into(), entry.sender.into());
                members.insert("words".into(), entry.step.words().into());
            }
            step
        })
        .collect();
    json!({
        "id": trace.id,
        "began": when(trace.begun),
        "seen": when(trace.seen),
        "client": trace.client,
        "senders": trace.senders,
        "steps": steps,
        "left_out": trace.left_out,
        "verdict": trace.verdict(now),
    })
}
