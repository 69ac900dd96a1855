//! The suite's scenarios for clients: the gateway is the client, with the suite's server behind it.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;

use super::super::Count;
use super::REVISIONS;
use super::judge::{self, Verdict};
use super::suite::Suite;
use crate::workspace::Workspace;
use crate::{command, say};

/// Scenarios beside each other: each is a suite, a gateway and a client, and they mostly wait for each other.
const LANES: usize = 2;

/// The revision in which scenarios of extensions are run, which belong to none.
const OF_EXTENSIONS: &str = super::MODERN;

/// It measures milliseconds, so nothing else runs beside it.
const TIMED: &str = "sse-retry";

/// How long a scenario may take, in milliseconds. The client ends by itself before that.
const TIME: &str = "90000";

/// One run of one scenario.
struct Run {
    label: String,
    revision: &'static str,
    scenario: String,
}

/// Runs all of them, in every revision that they have.
pub(super) fn run(suite: &Suite<'_>, workspace: &Workspace) -> anyhow::Result<Count> {
    let mut runs = Vec::new();
    for revision in REVISIONS {
        runs.extend(
            listed(suite, &["--spec-version", revision], |_| true)?.map(|scenario| Run {
                label: format!("client-{revision}"),
                revision,
                scenario,
            }),
        );
    }
    let is_extension = |line: &str| line.ends_with("[extension]");
    runs.extend(listed(suite, &[], is_extension)?.map(|scenario| Run {
        label: "client-extensions".to_owned(),
        revision: OF_EXTENSIONS,
        scenario,
    }));
    anyhow::ensure!(
        runs.len() > REVISIONS.len(),
        "the suite lists no scenarios for clients"
    );
    let client = workspace.program("debug", "sallyport-suite-client");
    let client = client.to_str().context("the suite takes a command as text")?;
    let (alone, beside): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.scenario == TIMED);
    let mut done = lane(suite, client, &alone, &AtomicUsize::new(0))?;
    let next = AtomicUsize::new(0);
    let lanes = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|_| scope.spawn(|| lane(suite, client, &beside, &next)))
            .collect();
        let joined = lanes.into_iter().map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a lane of the suite panicked")))
        });
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?;
    done.extend(lanes.into_iter().flatten());
    Ok(told(&done))
}

/// The names of the scenarios for clients whose lines are `wanted`.
fn listed(
    suite: &Suite<'_>,
    more: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<impl Iterator<Item = String>> {
    let mut list = suite.command("conformance/loopback.mjs");
    let list = command::quietly(list.args(["list", "--client"]).args(more))?;
    let lines = list.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let names = lines
        .filter(|line| wanted(line))
        .filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect::<Vec<_>>().into_iter())
}

/// Takes one run after the other until there is none left.
fn lane<'a>(
    suite: &Suite<'_>,
    client: &str,
    runs: &[&'a Run],
    next: &AtomicUsize,
) -> anyhow::Result<Vec<(&'a Run, Verdict)>> {
    let mut done = Vec::new();
    while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
        done.push((*run, one(suite, client, run)?));
    }
    Ok(done)
}

fn one(suite: &Suite<'_>, client: &str, run: &Run) -> anyhow::Result<Verdict> {
    let Run {
        label,
        revision,
        scenario,
    } = run;
    let mut suited = suite.command("conformance/loopback.mjs");
    suited.args(["client", "--command", client, "--scenario", scenario, "--force"]);
    suited.args(["--spec-version", revision, "--timeout", TIME, "-o"]);
    suited.arg(suite.folder().join(label)).stdin(Stdio::null());
    let output = suited.output().context("the suite")?;
    let log = [output.stdout.as_slice(), &output.stderr].concat();
    let log = command::without_colours(&String::from_utf8_lossy(&log));
    let file = format!("{label}-{}.log", scenario.replace('/', "-"));
    fs::write(suite.folder().join(file), &log)?;
    // Warnings, and a client that does not end well, are failures too; the suite says so with its status alone.
    let passed = output.status.success() && judge::scenario(&log) == Verdict::Pass;
    Ok(judge::expecting(scenario, passed, &suite.expected(label)?))
}

/// Says what did not pass, and how many of each kind there were.
fn told(done: &[(&Run, Verdict)]) -> Count {
    let mut sum = Count::default();
    let mut labels: Vec<&str> = done.iter().map(|(run, _)| run.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    for label in labels {
        let mut count = Count::default();
        for (run, verdict) in done.iter().filter(|(run, _)| run.label == label) {
            count += Count::one(matches!(verdict, Verdict::Pass | Verdict::Known));
            if *verdict != Verdict::Pass {
                say::line(format_args!("  {label}: {} {verdict}", run.scenario));
            }
        }
        say::line(format_args!(
            "  {label}: {} passed, {} failed",
            count.passed, count.failed
        ));
        sum += count;
    }
    sum
}
