//! `cargo xtask bench`: nginx and the gateway before the same server, under the same load in turn.

mod goal;
mod measure;
mod more;
mod nginx;
mod programs;

use std::process::Command;

use anyhow::Context as _;

use crate::gateway::Gateway;
use crate::process::{Background, children};
use crate::workspace::Workspace;
use crate::{Options, say};
use goal::Goals;
use measure::{HEAD, Rounds, Side};
use nginx::Nginx;
use programs::Programs;

/// What is measured against nginx.
struct Scenario {
    name: &'static str,
    /// The load's word for it.
    load: &'static str,
    /// The profile, and path of the bare server, that it goes to.
    place: &'static str,
    /// The most that the gateway is to need, as a multiple of nginx's CPU.
    goal: Option<f64>,
}

const fn scenario(
    name: &'static str,
    load: &'static str,
    place: &'static str,
    goal: Option<f64>,
) -> Scenario {
    Scenario {
        name,
        load,
        place,
        goal,
    }
}

const SCENARIOS: [Scenario; 10] = [
    scenario("call 2025-11-25", "call", "default", Some(1.5)),
    scenario("call 2026-07-28", "call-modern", "default", Some(1.5)),
    scenario("list of 10, 2025-11-25", "list", "default", None),
    scenario("list of 10, 2026-07-28", "list-modern", "default", None),
    scenario("list of 1000, 2025-11-25", "list", "wide", Some(0.7)),
    scenario("list of 1000, 2026-07-28", "list-modern", "wide", Some(0.7)),
    scenario("result of 100 KiB, 2025-11-25", "big", "default", Some(1.3)),
    scenario(
        "result of 100 KiB, 2026-07-28",
        "big-modern",
        "default",
        Some(1.3),
    ),
    scenario(
        "50 progress notifications, 2025-11-25",
        "progress",
        "default",
        Some(1.5),
    ),
    scenario(
        "50 progress notifications, 2026-07-28",
        "progress-modern",
        "default",
        Some(1.5),
    ),
];
const IN_FLIGHT: [u32; 3] = [1, 16, 64];

/// Builds, starts, measures and prints, and says at last which goals were missed. `only` keeps the scenarios whose name
/// contains one of its words. Whether every request had its right answer: a goal missed on a busy machine is no failure.
///
/// # Errors
/// When something cannot be built or started.
pub(crate) fn run(workspace: &Workspace, options: &Options<'_>) -> anyhow::Result<bool> {
    let programs = Programs::build(workspace, options)?;
    let mut bare = Command::new(programs.bench("upstream"));
    let (upstream, url) = Background::with_first_line(&mut bare).context("the bare server")?;
    let origin = url.trim_end_matches("/mcp");
    let folder = workspace.scratch("bench")?;
    let more = format!(
        "servers:\n  bench: {{ url: \"{origin}/mcp\" }}\n  wide: {{ url: \"{origin}/1000/mcp\" }}\nprofiles:\n  default: {{ servers: [bench] }}\n  wide: {{ servers: [wide] }}\n"
    );
    let gateway = Gateway::start(programs.gateway(), &folder, &more, true)?;
    let against = match programs.against() {
        Some(program) => {
            let folder = workspace.scratch("bench-against")?;
            Some((Gateway::start(program, &folder, &more, true)?, folder))
        }
        None => None,
    };
    let nginx = Nginx::start(&workspace.nginx()?, &folder.join("nginx"), origin)?;
    let mut places = Vec::new();
    for (slug, path) in [("default", "/mcp"), ("wide", "/1000/mcp")] {
        let (url, processes) = relayed(&nginx, path)?;
        let mut sides = vec![
            Side::new("nginx", &url, processes),
            Side::of("gateway", &gateway, &folder, slug)?,
        ];
        if let Some((gateway, folder)) = &against {
            sides.push(Side::of("against", gateway, folder, slug)?);
        }
        if options.bare {
            sides.push(Side::new("bare", &format!("{origin}{path}"), vec![upstream.id()]));
        }
        places.push((slug, sides));
    }
    let (seconds, rounds) = (1.0, if options.quick { 1 } else { 5 });
    programs.print();
    say::line(format_args!(
        "{} cores, {rounds} rounds of {seconds} s each; CPU is the process's own, per 1000 requests",
        std::thread::available_parallelism().map_or(0, usize::from)
    ));
    let is_wanted = |name: &str, load: &str| {
        let only = &options.only;
        only.is_empty() || only.iter().any(|word| name.contains(word) || load == *word)
    };
    let how = more::How {
        workspace,
        programs: &programs,
        origin,
        nginx: relayed(&nginx, "/mcp")?,
        seconds,
        rounds,
        is_wanted: &is_wanted,
    };
    let mut goals = Goals::default();
    let errors = compare(&how, &places, &mut goals)? + more::run(&how, &mut goals)?;
    goals.print();
    Ok(errors == 0.0)
}

/// Measures all scenarios that are wanted; returns how many requests had no right answer.
fn compare(how: &more::How<'_>, places: &[(&str, Vec<Side>)], goals: &mut Goals) -> anyhow::Result<f64> {
    let program = how.programs.bench("load");
    let mut errors = 0.0;
    for Scenario {
        name,
        load,
        place,
        goal,
    } in SCENARIOS
    {
        let mut places = places.iter().filter(|(slug, _)| *slug == place);
        let Some((_, sides)) = places.next().filter(|_| (how.is_wanted)(name, load)) else {
            continue;
        };
        say::line(format_args!("\n### {name}\n\n{HEAD}"));
        for in_flight in IN_FLIGHT {
            let measure = |side: &Side| side.measure(&program, load, in_flight, how.seconds);
            let all = Rounds::of(sides, how.rounds, measure)?;
            all.print(in_flight, goal);
            errors += all.errors();
            if let (Some(goal), Some(ratio)) = (goal, all.ratio(1)) {
                goals.judge(format!("{name}, {in_flight} in flight: CPU × nginx"), ratio, goal);
            }
        }
    }
    Ok(errors)
}

/// An endpoint of the bare server through the plain proxy, and the processes that do the work.
fn relayed(nginx: &Nginx, path: &str) -> anyhow::Result<(String, Vec<u32>)> {
    Ok((format!("{}{path}", nginx.origin()), children(nginx.id())?))
}
