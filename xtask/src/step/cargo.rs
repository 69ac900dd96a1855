//! The steps that Cargo does.

use std::process::Command;

use super::Count;
use crate::command;
use crate::workspace::Workspace;

/// The code has the form of rustfmt.
pub(super) fn fmt(workspace: &Workspace) -> anyhow::Result<Count> {
    command::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Count::one(true))
}

/// No warning of compiler or clippy.
pub(super) fn clippy(workspace: &Workspace) -> anyhow::Result<Count> {
    let mut clippy = workspace.cargo();
    clippy.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]);
    command::run(&mut clippy)?;
    Ok(Count::one(true))
}

/// Dependencies, licences and sources are those that `deny.toml` allows.
pub(super) fn deny(workspace: &Workspace) -> anyhow::Result<Count> {
    let mut deny = Command::new(workspace.cargo_deny()?);
    deny.current_dir(&workspace.root)
        .args(["--workspace", "check", "bans", "licenses", "sources"]);
    command::run(&mut deny)?;
    Ok(Count::one(true))
}

/// Tests beside the code, and examples in the documentation.
pub(super) fn unit(workspace: &Workspace) -> anyhow::Result<Count> {
    let mut count = tests(workspace, &["--lib", "--bins"])?;
    count += tests(workspace, &["--doc"])?;
    Ok(count)
}

/// Tests through the front door.
pub(super) fn e2e(workspace: &Workspace) -> anyhow::Result<Count> {
    workspace.build()?;
    tests(workspace, &["--test", "*"])
}

/// A million interleaved calls with optimised programs; minutes, so only on demand.
pub(super) fn interleave(workspace: &Workspace) -> anyhow::Result<Count> {
    let million = ["a_million_interleaved_calls", "--ignored", "--nocapture"];
    tests(
        workspace,
        &[&["--release", "--test", "e2e", "--"], &million[..]].concat(),
    )
}

/// nginx and Caddy ask the gateway about each request.
pub(super) fn proxies(workspace: &Workspace) -> anyhow::Result<Count> {
    let (nginx, caddy) = (workspace.nginx()?, workspace.caddy()?);
    workspace.build()?;
    let mut test = workspace.cargo();
    test.env("NGINX", nginx).env("CADDY", caddy);
    run_tests(test, &["--test", "e2e", "--", "verify::installed", "--ignored"])
}

fn tests(workspace: &Workspace, which: &[&str]) -> anyhow::Result<Count> {
    run_tests(workspace.cargo(), which)
}

fn run_tests(mut test: Command, which: &[&str]) -> anyhow::Result<Count> {
    test.args(["test", "--quiet", "--workspace", "--no-fail-fast"])
        .args(which);
    let mut count = Count::default();
    let success = command::watch(&mut test, |line| count += result(line).unwrap_or_default())?;
    if !success && count.failed == 0 {
        // It did not compile, or a test ended the process.
        count.failed = 1;
    }
    Ok(count)
}

/// The numbers of a line `test result: ok. 3 passed; 0 failed; …`.
fn result(line: &str) -> Option<Count> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = numbers.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some(Count { passed, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_the_test_harness() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.31s";
        assert_eq!(
            result(line),
            Some(Count {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(result("running 4 tests"), None);
        assert_eq!(result("test result: maybe"), None);
    }
}
