//! What is measured at a gateway of its own: a call through 50 servers, a call of a program, memory, streams that stay
//! open.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::goal::Goals;
use super::measure::{HEAD, Rounds, Side};
use super::programs::Programs;
use crate::gateway::Gateway;
use crate::workspace::Workspace;
use crate::{process, say};

/// The servers of the profile `many`; one of them is called.
const MANY: usize = 50;
/// Streams that stay open.
const STREAMS: usize = 10_000;
/// How long memory may take to settle: the allocator gives back what has been free for ten seconds.
const SETTLE: Duration = Duration::from_secs(15);

/// Megabytes at rest, and with [`STREAMS`] open.
const MEGABYTES: [f64; 2] = [25.0, 150.0];
/// A call with 50 servers behind, as a multiple of one with one: the same, as far as a run can tell.
const ALIKE: f64 = 1.1;
/// A warm call of a program, of several at once: one at a time every hop waits for a thread to wake, which alone takes most
/// machines longer.
const STDIO_MICROS: f64 = 10.0;

const CALLS: &str = "call, 1 and 50 servers behind";
const STDIO: &str = "call of a stdio server";
const STDIO_PROGRESS: &str = "50 progress notifications of a stdio server";
const MEMORY: &str = "memory";

/// What is measured here.
pub(super) const NAMES: [&str; 4] = [CALLS, STDIO, STDIO_PROGRESS, MEMORY];

/// How it is measured.
pub(super) struct How<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) programs: &'a Programs<'a>,
    /// The bare server's origin.
    pub(super) origin: &'a str,
    /// The plain proxy before the bare server, and its processes: what a program's calls are compared with.
    pub(super) nginx: (String, Vec<u32>),
    pub(super) seconds: f64,
    pub(super) rounds: u32,
    pub(super) is_wanted: &'a dyn Fn(&str, &str) -> bool,
}

/// Starts the gateway, measures what is wanted, prints and judges it, and returns how many requests had no right answer.
///
/// # Errors
/// When something cannot be started, or a stream is not opened.
pub(super) fn run(how: &How<'_>, goals: &mut Goals) -> anyhow::Result<f64> {
    let wanted = |name| (how.is_wanted)(name, name);
    if !NAMES.into_iter().any(wanted) {
        return Ok(0.0);
    }
    let folder = how.workspace.scratch("bench-more")?;
    let config = config(how.origin, &how.programs.bench("stdio"));
    let gateway = Gateway::start(how.programs.gateway(), &folder, &config, true)?;
    let mut errors = 0.0;
    if wanted(MEMORY) {
        let token = folder.join("idle.token");
        std::fs::write(&token, gateway.token("default")?)?;
        idle(&gateway, &how.programs.bench("idle"), &token, goals)?;
    }
    let against = match how.programs.against() {
        Some(program) => {
            let folder = how.workspace.scratch("bench-more-against")?;
            Some((Gateway::start(program, &folder, &config, true)?, folder))
        }
        None => None,
    };
    let load = how.programs.bench("load");
    for (name, scenario, slugs, in_flight) in [
        (
            CALLS,
            "call-modern",
            ["default", "many"].as_slice(),
            [16].as_slice(),
        ),
        (STDIO, "call-modern", &["stdio"], &[1, 16, 64]),
        (STDIO_PROGRESS, "progress-modern", &["stdio"], &[1, 16, 64]),
    ] {
        if !wanted(name) {
            continue;
        }
        say::line(format_args!("\n### {name}\n\n{HEAD}"));
        let mut sides = Vec::new();
        if name != CALLS {
            let (url, processes) = &how.nginx;
            sides.push(Side::new("nginx, over HTTP", url, processes.clone()));
        }
        for slug in slugs {
            sides.push(Side::of(slug, &gateway, &folder, slug)?);
        }
        if let Some((gateway, folder)) = &against {
            for slug in slugs {
                sides.push(Side::of(&format!("{slug}, against"), gateway, folder, slug)?);
            }
        }
        for in_flight in in_flight {
            let measure = |side: &Side| side.measure(&load, scenario, *in_flight, how.seconds);
            let all = Rounds::of(&sides, how.rounds, measure)?;
            all.print(*in_flight, None);
            errors += all.errors();
            let what = format!("{name}, {in_flight} in flight");
            match (name, all.ratio(1), all.cpu(1)) {
                (CALLS, Some(ratio), _) => goals.judge(format!("{what}: 50 to 1"), ratio, ALIKE),
                (STDIO, _, Some(cpu)) if *in_flight > 1 => {
                    goals.judge(format!("{what}: µs"), cpu, STDIO_MICROS);
                }
                _ => {}
            }
        }
    }
    Ok(errors)
}

/// One profile with one server, one with [`MANY`], one with a program.
fn config(origin: &str, program: &Path) -> String {
    let mut servers = format!("  bench: {{ url: \"{origin}/mcp\" }}\n");
    let mut many = "bench".to_owned();
    for number in 1..MANY {
        // Writing to a string cannot fail.
        let _ = writeln!(
            servers,
            "  s{number}: {{ url: \"{origin}/other/s{number}/mcp\" }}"
        );
        let _ = write!(many, ", s{number}");
    }
    let _ = writeln!(servers, "  program: {{ command: \"{}\" }}", program.display());
    format!(
        "trusted_proxies: [127.0.0.0/8]\nlimits: {{ streams_per_principal: {STREAMS} }}\nservers:\n{servers}profiles:\n  default: {{ servers: [bench] }}\n  many: {{ servers: [{many}] }}\n  stdio: {{ servers: [program] }}\n"
    )
}

/// Resident memory before any request, with the streams open, and after they have left.
fn idle(gateway: &Gateway, load: &Path, token: &Path, goals: &mut Goals) -> anyhow::Result<()> {
    let megabytes = || process::resident_kib(gateway.id()).map(|kib| megabytes(kib * 1024));
    std::thread::sleep(Duration::from_secs(2));
    let fresh = megabytes()?;
    let mut streams = open(load, &gateway.url("default"), token)?;
    std::thread::sleep(Duration::from_secs(2));
    let full = megabytes()?;
    drop(streams.stdin.take());
    streams.wait()?;
    std::thread::sleep(SETTLE);
    let left = megabytes()?;
    say::line(format_args!(
        "\n### {MEMORY}\n\n| gateway, {} servers | RSS MB | goal |\n|---|---|---|\n| idle | {fresh:.1} | {} |\n| {STREAMS} listen streams open | {full:.1} | {} |\n| {} s after they left | {left:.1} | |",
        MANY + 1,
        MEGABYTES[0],
        MEGABYTES[1],
        SETTLE.as_secs()
    ));
    goals.judge("idle: MB".to_owned(), fresh, MEGABYTES[0]);
    goals.judge(format!("{STREAMS} streams open: MB"), full, MEGABYTES[1]);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people, far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Starts the program that holds the streams, and waits until all are open.
fn open(load: &Path, url: &str, token: &Path) -> anyhow::Result<Child> {
    let mut child = Command::new(load)
        .args([url, &STREAMS.to_string()])
        .arg(token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
    anyhow::ensure!(line.trim() == STREAMS.to_string(), "not every stream was opened");
    Ok(child)
}
