//! `cargo xtask bench`: the gateway and the bare server behind it, under the same load in turn.

mod measure;
mod more;
mod nginx;

use std::process::Command;

use anyhow::Context as _;

use crate::gateway::Gateway;
use crate::process::{Background, children};
use crate::workspace::Workspace;
use crate::{Options, command, say};
use measure::{Measured, Side};
use nginx::Nginx;

/// A name, the load's scenario and the profile (and path of the bare server) that it goes to.
const SCENARIOS: [(&str, &str, &str); 10] = [
    ("call 2025-11-25", "call", "default"),
    ("call 2026-07-28", "call-modern", "default"),
    ("list of 10, 2025-11-25", "list", "default"),
    ("list of 10, 2026-07-28", "list-modern", "default"),
    ("list of 1000, 2025-11-25", "list", "wide"),
    ("list of 1000, 2026-07-28", "list-modern", "wide"),
    ("result of 100 KiB, 2025-11-25", "big", "default"),
    ("result of 100 KiB, 2026-07-28", "big-modern", "default"),
    ("50 progress notifications, 2025-11-25", "progress", "default"),
    (
        "50 progress notifications, 2026-07-28",
        "progress-modern",
        "default",
    ),
];
const IN_FLIGHT: [u32; 3] = [1, 16, 64];

/// Builds, starts, measures and prints. `only` keeps the scenarios whose name contains one of its words. Whether every
/// request had its right answer.
///
/// # Errors
/// When something cannot be built or started.
pub(crate) fn run(workspace: &Workspace, options: &Options<'_>) -> anyhow::Result<bool> {
    for package in ["sallyport", "sallyport-bench"] {
        command::run(workspace.cargo().args([
            "build",
            "--profile",
            options.profile,
            "--quiet",
            "--bins",
            "--package",
            package,
        ]))?;
    }
    let program = |name: &str| workspace.program(options.profile, name);
    let mut bare = Command::new(program("sallyport-bench-upstream"));
    let (upstream, url) = Background::with_first_line(&mut bare).context("the bare server")?;
    let origin = url.trim_end_matches("/mcp");
    let folder = workspace.scratch("bench")?;
    let more = format!(
        "servers:\n  bench: {{ url: \"{origin}/mcp\" }}\n  wide: {{ url: \"{origin}/1000/mcp\" }}\nprofiles:\n  default: {{ servers: [bench] }}\n  wide: {{ servers: [wide] }}\n"
    );
    let gateway = Gateway::start(&program("sallyport"), &folder, &more, true)?;
    let nginx = options
        .nginx
        .then(|| Nginx::start(&folder.join("nginx"), origin))
        .transpose()?;
    let mut places = Vec::new();
    for (slug, path) in [("default", "/mcp"), ("wide", "/1000/mcp")] {
        let token = folder.join(format!("{slug}.token"));
        std::fs::write(&token, gateway.token(slug)?)?;
        let mut sides = vec![Side::new("bare", &format!("{origin}{path}"), vec![upstream.id()])];
        if let Some(nginx) = &nginx {
            let (url, processes) = relayed(nginx, path)?;
            sides.push(Side::new("nginx", &url, processes));
        }
        sides.push(Side::new("gateway", &gateway.url(slug), vec![gateway.id()]).with_token(&token));
        places.push((slug, sides));
    }
    let (seconds, rounds) = if options.quick { (1.0, 1) } else { (2.0, 3) };
    say::line(format_args!(
        "{} cores, {rounds} rounds of {seconds} s each; CPU is the process's own, per 1000 requests",
        std::thread::available_parallelism().map_or(0, usize::from)
    ));
    let load = program("sallyport-bench-load");
    let is_wanted = |name: &str, scenario: &str| {
        let only = &options.only;
        only.is_empty() || only.iter().any(|word| name.contains(word) || scenario == *word)
    };
    let mut errors = 0.0;
    for (name, scenario, slug) in SCENARIOS {
        let Some((_, sides)) = places
            .iter()
            .find(|(place, _)| *place == slug && is_wanted(name, scenario))
        else {
            continue;
        };
        say::line(format_args!("\n### {name}\n\n{}", Measured::HEAD));
        for in_flight in IN_FLIGHT {
            let measure = |side: &Side| side.measure(&load, scenario, in_flight, seconds);
            errors += compare(sides, rounds, in_flight, measure)?;
        }
    }
    errors += more::run(&more::How {
        workspace,
        profile: options.profile,
        origin,
        nginx: nginx.as_ref().map(|nginx| relayed(nginx, "/mcp")).transpose()?,
        seconds,
        rounds,
        is_wanted: &is_wanted,
    })?;
    Ok(errors == 0.0)
}

/// An endpoint of the bare server through the plain proxy, and the processes that do the work.
fn relayed(nginx: &Nginx, path: &str) -> anyhow::Result<(String, Vec<u32>)> {
    Ok((format!("{}{path}", nginx.origin()), children(nginx.id())?))
}

/// Measures the sides in turn, so that a slow minute of the machine falls on all, and prints a line for each. The first
/// is what the others are compared with. Returns how many requests had no right answer.
fn compare(
    sides: &[Side],
    rounds: u32,
    in_flight: u32,
    measure: impl Fn(&Side) -> anyhow::Result<Measured>,
) -> anyhow::Result<f64> {
    let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); sides.len()];
    for _ in 0..rounds {
        for (side, runs) in sides.iter().zip(&mut runs) {
            runs.push(measure(side)?);
        }
    }
    let medians: Vec<Measured> = runs.into_iter().map(Measured::median).collect();
    let first = medians.first();
    for (place, (side, median)) in sides.iter().zip(&medians).enumerate() {
        let bare = first.filter(|_| place > 0);
        say::line(format_args!("{}", median.row(side.name(), in_flight, bare)));
    }
    Ok(medians.iter().map(Measured::errors).sum())
}
