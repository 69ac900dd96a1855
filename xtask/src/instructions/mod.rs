//! Instructions per request: steady where times are not, so that a change that makes requests dearer is seen.
//!
//! The gateway runs under callgrind, and the load generator asks one request after the other. What a request costs is
//! the difference of two runs that differ in their number, so that opening connections and sessions falls out. Each run is
//! made several times, and the cheapest counts: what the gateway does from time to time falls into one of them or another.

mod callgrind;
mod record;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::gateway::Gateway;
use crate::process::Background;
use crate::workspace::Workspace;
use crate::{command, provide, say};
use callgrind::Cost;
use record::Record;

/// The load's scenario, the profile that it goes to, and how many requests are counted.
const SCENARIOS: [(&str, &str, u64); 8] = [
    ("call", "default", 200),
    ("call-modern", "default", 200),
    ("list", "wide", 100),
    ("list-modern", "wide", 100),
    ("big", "default", 50),
    ("big-modern", "default", 50),
    ("progress", "default", 50),
    ("progress-modern", "default", 50),
];

/// How often each run is made.
const RUNS: usize = 3;

/// By how many percent a request may become dearer.
const TOLERANCE: u64 = 5;

/// The profile of Cargo that is measured: optimised as far as a few minutes allow.
const PROFILE: &str = "guard";

/// Compares with the record; how many scenarios have kept to it, and how many have not. Without a word of either, a line
/// says why there is nothing to compare.
///
/// # Errors
/// When something cannot be built, started or counted.
pub(crate) fn compare(workspace: &Workspace) -> anyhow::Result<(u64, u64)> {
    let before = Record::read(&file(workspace))?;
    let toolchain = toolchain()?;
    if before.toolchain != toolchain {
        say::line(format_args!(
            "NOT COMPARED: the record was made with {}, this is {toolchain}. `cargo xtask instructions` renews it.",
            before.toolchain
        ));
        return Ok((0, 0));
    }
    let now = measure(workspace, toolchain)?;
    let (mut kept, mut exceeded) = (0, 0);
    for (scenario, count) in &now.requests {
        let Some(recorded) = before.requests.get(scenario) else {
            say::line(format_args!("{scenario:<16} has no record"));
            exceeded += 1;
            continue;
        };
        let percent = percent(*recorded, *count);
        if count * 100 > recorded * (100 + TOLERANCE) {
            say::line(format_args!(
                "{scenario:<16} {count:>8} instructions, {percent:+.1} %: more than {TOLERANCE} % above the record of {recorded}"
            ));
            exceeded += 1;
        } else {
            say::line(format_args!(
                "{scenario:<16} {count:>8} instructions, {percent:+.1} %"
            ));
            kept += 1;
        }
    }
    if exceeded > 0 {
        say::line(format_args!(
            "If this is worth its price, `cargo xtask instructions` renews the record; say why in the commit."
        ));
    }
    Ok((kept, exceeded))
}

/// Writes the record anew.
///
/// # Errors
/// When something cannot be built, started or counted.
pub(crate) fn renew(workspace: &Workspace) -> anyhow::Result<()> {
    let file = file(workspace);
    let before = Record::read(&file).unwrap_or_default();
    let now = measure(workspace, toolchain()?)?;
    for (scenario, count) in &now.requests {
        match before.requests.get(scenario) {
            Some(recorded) => say::line(format_args!(
                "{scenario:<16} {count:>8} instructions, {:+.1} %",
                percent(*recorded, *count)
            )),
            None => say::line(format_args!("{scenario:<16} {count:>8} instructions")),
        }
    }
    now.write(&file)
}

fn file(workspace: &Workspace) -> PathBuf {
    workspace.root.join("crates/bench/instructions.toml")
}

fn toolchain() -> anyhow::Result<String> {
    let about = command::quietly(Command::new("rustc").arg("-vV"))?;
    let version = about.lines().next().unwrap_or_default();
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(format!("{version} {}", host.unwrap_or_default()))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people, far below 2^52")]
fn percent(before: u64, now: u64) -> f64 {
    (now as f64 / before.max(1) as f64 - 1.0) * 100.0
}

fn measure(workspace: &Workspace, toolchain: String) -> anyhow::Result<Record> {
    let valgrind = provide::valgrind()?;
    let mut build = workspace.cargo();
    build.args(["build", "--quiet", "--bins", "--profile", PROFILE]);
    command::run(build.args(["--package", "sallyport", "--package", "sallyport-bench"]))?;
    let mut bare = Command::new(workspace.program(PROFILE, "sallyport-bench-upstream"));
    let (_upstream, url) = Background::with_first_line(&mut bare).context("the bare server")?;
    let origin = url.trim_end_matches("/mcp");
    let folder = workspace.scratch("instructions")?;
    let more = format!(
        "workers: 1\nservers:\n  bench: {{ url: \"{origin}/mcp\" }}\n  wide: {{ url: \"{origin}/1000/mcp\" }}\nprofiles:\n  default: {{ servers: [bench] }}\n  wide: {{ servers: [wide] }}\n"
    );
    let counts = folder.join("counts");
    std::fs::create_dir(&counts)?;
    let program = workspace.program(PROFILE, "sallyport");
    let serve = callgrind::under(&valgrind, &program, &counts);
    let gateway = Gateway::start_as(serve, &program, &folder, &more, true)?;
    let mut record = Record {
        toolchain,
        ..Record::default()
    };
    for (scenario, slug, requests) in SCENARIOS {
        let token = folder.join(format!("{slug}.token"));
        if !token.exists() {
            std::fs::write(&token, gateway.token(slug)?)?;
        }
        let load = workspace.program(PROFILE, "sallyport-bench-load");
        let cost = |count: u64| -> anyhow::Result<Cost> {
            callgrind::take(gateway.id(), &counts)?;
            let mut run = Command::new(&load);
            run.args([gateway.url(slug).as_str(), scenario, "1", &format!("{count}x")]);
            let report = command::quietly(run.arg(&token))?;
            let report: serde_json::Value = serde_json::from_str(&report)?;
            if report.get("requests").and_then(serde_json::Value::as_u64) != Some(count) {
                bail!("{scenario}: {report}");
            }
            callgrind::take(gateway.id(), &counts)
        };
        // The first run opens what is then kept open.
        cost(10)?;
        let cheapest = |count: u64| -> anyhow::Result<Cost> {
            let mut cheapest = cost(count)?;
            for _ in 1..RUNS {
                cheapest = cheapest.least(cost(count)?);
            }
            Ok(cheapest)
        };
        let (few, many) = (cheapest(10)?, cheapest(10 + requests)?);
        let each = |figure: fn(&Cost) -> u64| figure(&many).saturating_sub(figure(&few)) / requests;
        say::line(format_args!(
            "  {scenario:<16} {:>8} per request; besides {} for SHA-256 and {} in threads that serve nobody",
            each(|cost| cost.serving),
            each(|cost| cost.hashing),
            each(|cost| cost.others)
        ));
        record
            .requests
            .insert(scenario.to_owned(), each(|cost| cost.serving));
    }
    Ok(record)
}
