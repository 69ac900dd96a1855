//! `cargo xtask bench`: the gateway and the bare server behind it, under the same load in turn.

mod measure;

use std::process::Command;

use anyhow::Context as _;

use crate::gateway::Gateway;
use crate::process::Background;
use crate::workspace::Workspace;
use crate::{command, say};
use measure::{Measured, Side};

/// A name, the load's scenario and the profile (and path of the bare server) that it goes to.
const SCENARIOS: [(&str, &str, &str); 8] = [
    ("call 2025-11-25", "call", "default"),
    ("call 2026-07-28", "call-modern", "default"),
    ("list of 10, 2025-11-25", "list", "default"),
    ("list of 10, 2026-07-28", "list-modern", "default"),
    ("list of 1000, 2025-11-25", "list", "wide"),
    ("list of 1000, 2026-07-28", "list-modern", "wide"),
    ("result of 100 KiB", "big", "default"),
    ("50 progress notifications", "progress", "default"),
];
const IN_FLIGHT: [u32; 3] = [1, 16, 64];

/// Builds, starts, measures and prints; `only` keeps the scenarios whose name contains one of its words.
///
/// # Errors
/// When something cannot be built or started.
pub(crate) fn run(workspace: &Workspace, only: &[&str], quick: bool) -> anyhow::Result<()> {
    for package in ["sallyport", "sallyport-bench"] {
        command::run(workspace.cargo().args([
            "build",
            "--release",
            "--quiet",
            "--bins",
            "--package",
            package,
        ]))?;
    }
    let mut bare = Command::new(workspace.program("release", "sallyport-bench-upstream"));
    let (upstream, url) = Background::with_first_line(&mut bare).context("the bare server")?;
    let wide = url.replace("/mcp", "/1000/mcp");
    let folder = workspace.scratch("bench")?;
    let more = format!(
        "servers:\n  bench: {{ url: \"{url}\" }}\n  wide: {{ url: \"{wide}\" }}\nprofiles:\n  default: {{ servers: [bench] }}\n  wide: {{ servers: [wide] }}\n"
    );
    let gateway = Gateway::start(&workspace.program("release", "sallyport"), &folder, &more, true)?;
    let (seconds, rounds) = if quick { (1.0, 1) } else { (4.0, 3) };
    let load = workspace.program("release", "sallyport-bench-load");
    say::line(format_args!(
        "{} cores, {rounds} rounds of {seconds} s each; CPU is the process's own, per 1000 requests",
        std::thread::available_parallelism().map_or(0, usize::from)
    ));
    let mut sides = Vec::new();
    for (slug, direct) in [("default", &url), ("wide", &wide)] {
        let token = folder.join(format!("{slug}.token"));
        std::fs::write(&token, gateway.token(slug)?)?;
        sides.push((
            slug,
            Side::bare(direct, upstream.id()),
            Side::gateway(&gateway.url(slug), gateway.id(), &token),
        ));
    }
    for (name, scenario, slug) in SCENARIOS {
        if !only.is_empty() && !only.iter().any(|word| name.contains(word) || scenario == *word) {
            continue;
        }
        let Some((_, bare, through)) = sides.iter().find(|(side, _, _)| *side == slug) else {
            continue;
        };
        say::line(format_args!("\n### {name}\n\n{}", Measured::HEAD));
        for in_flight in IN_FLIGHT {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                // In turn, so that a slow minute of the machine falls on both.
                theirs.push(bare.measure(&load, scenario, in_flight, seconds)?);
                ours.push(through.measure(&load, scenario, in_flight, seconds)?);
            }
            let theirs = Measured::median(theirs);
            say::line(format_args!("{}", theirs.row("bare", in_flight, None)));
            say::line(format_args!(
                "{}",
                Measured::median(ours).row("gateway", in_flight, Some(&theirs))
            ));
        }
    }
    Ok(())
}
