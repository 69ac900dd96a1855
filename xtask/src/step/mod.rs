//! The steps of `cargo xtask test`.

mod asking;
mod attacks;
mod browser;
mod cargo;
mod clients;
mod conformance;
mod instructions;
mod named;
mod proofs;
mod protocol;
mod tidy;

use std::time::Instant;

use crate::say;
use crate::workspace::Workspace;

/// What a step counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// One thing that was checked.
    pub(crate) fn one(ok: bool) -> Self {
        Self {
            passed: u64::from(ok),
            failed: u64::from(!ok),
        }
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

type Step = (&'static str, fn(&Workspace) -> anyhow::Result<Count>);

/// In this order: what is quick and likely to fail comes first.
const STEPS: &[Step] = &[
    ("fmt", cargo::fmt),
    ("tidy", tidy::run),
    ("clippy", cargo::clippy),
    ("unit", cargo::unit),
    ("e2e", cargo::e2e),
    ("proxies", cargo::proxies),
    ("fixture", conformance::fixture),
    ("conformance", conformance::run),
    ("clients", clients::run),
    ("asking", asking::run),
    ("browser", browser::run),
    ("instructions", instructions::run),
    ("deny", cargo::deny),
];

/// What runs only where it is named.
const ON_DEMAND: &[Step] = &[("interleave", cargo::interleave), ("clients-wait", clients::wait)];

/// Runs the steps (or those of `only`), prints a table and the verdict. Whether nothing failed.
///
/// # Errors
/// When `only` names no step.
pub(crate) fn run(workspace: &Workspace, only: &[&str]) -> anyhow::Result<bool> {
    let names: Vec<_> = STEPS.iter().chain(ON_DEMAND).map(|(name, _)| *name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        anyhow::bail!("no step {unknown}; the steps are {}", names.join(", "));
    }
    let mut rows = Vec::new();
    let mut total = Count::default();
    let on_demand = ON_DEMAND.iter().filter(|(name, _)| only.contains(name));
    for (name, step) in STEPS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.contains(name))
        .chain(on_demand)
    {
        say::line(format_args!("\n=== {name}"));
        let begin = Instant::now();
        let count = step(workspace).unwrap_or_else(|error| {
            say::line(format_args!("{name}: {error:#}"));
            Count::one(false)
        });
        let seconds = begin.elapsed().as_secs_f64();
        let row = format!(
            "{name:<12} {:>6} passed {:>4} failed {seconds:>8.1} s",
            count.passed, count.failed
        );
        say::line(format_args!("=== {row}"));
        rows.push(row);
        total += count;
    }
    say::line(format_args!("\n{}\n", rows.join("\n")));
    say::line(format_args!("{} passed, {} failed", total.passed, total.failed));
    Ok(total.failed == 0)
}
