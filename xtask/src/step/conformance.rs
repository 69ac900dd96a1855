//! The official MCP server suite against a profile with one server.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::Count;
use crate::gateway::Gateway;
use crate::process::Background;
use crate::workspace::Workspace;
use crate::{command, say, versions};

const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// Runs the suite of every revision through a gateway.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let node = workspace.node()?.join("node");
    let suite = workspace.npm("conformance", versions::CONFORMANCE)?;
    let suite = suite.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    workspace.build()?;
    let mut everything = Command::new(workspace.program("debug", "sallyport-everything"));
    let (_server, upstream) = Background::with_first_line(everything.args(["--listen", "127.0.0.1:0"]))
        .context("the everything server")?;
    let folder = workspace.scratch("conformance")?;
    let more = format!(
        "servers:\n  everything: {{ url: \"{upstream}\" }}\nprofiles:\n  default: {{ servers: [everything] }}\n"
    );
    let gateway = Gateway::start(&workspace.program("debug", "sallyport"), &folder, &more, true)?;
    let mut count = Count::default();
    for revision in REVISIONS {
        let log = folder.join(format!("{revision}.log"));
        let mut scenarios = Command::new(&node);
        scenarios
            .arg("--import")
            .arg(workspace.testkit("conformance/bearer.mjs"))
            .arg(&suite)
            .args([
                "server",
                "--suite",
                "all",
                "--spec-version",
                revision,
                "--url",
                &gateway.url("default"),
            ])
            .arg("-o")
            .arg(folder.join(revision))
            .env("CONFORMANCE_URL", gateway.url("default"))
            .env("CONFORMANCE_TOKEN", gateway.token("default")?)
            .env("NO_COLOR", "1");
        // The suite fails if a scenario does; the verdict is ours, with the failures that are expected.
        let output = scenarios.output().context("the suite")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        fs::write(&log, [output.stdout.as_slice(), &output.stderr].concat())?;
        count += judge(
            revision,
            &text,
            &workspace.testkit(&format!("conformance/expected-{revision}.yml")),
        )?;
        say::line(format_args!("  the log of {revision} is {}", log.display()));
    }
    Ok(count)
}

/// A scenario and whether all of its checks passed (and there were any).
fn scenarios(log: &str) -> Vec<(&str, bool)> {
    let summary = log
        .rfind("SUMMARY")
        .and_then(|at| log.get(at..))
        .unwrap_or_default();
    let line = |line: &'_ str| -> Option<(usize, bool)> {
        let (name, counts) = line.split_once(": ")?;
        let (passed, rest) = counts.split_once(" passed, ")?;
        let failed = rest.split(' ').next()?;
        let measured = passed.parse::<u32>().ok()? > 0;
        Some((name.len(), measured && failed == "0"))
    };
    let mut found: Vec<(&str, bool)> = Vec::new();
    for text in summary.lines() {
        let mark = ["\u{2713} ", "\u{2717} "]
            .into_iter()
            .find_map(|mark| text.strip_prefix(mark));
        let Some(text) = mark else { continue };
        if let Some((length, ok)) = line(text) {
            let name = text.get(..length).unwrap_or(text);
            // The suite names its failures once more at the end.
            if !found.iter().any(|(known, _)| *known == name) {
                found.push((name, ok));
            }
        }
    }
    found
}

fn judge(revision: &str, log: &str, expected: &Path) -> anyhow::Result<Count> {
    let log = command::without_colours(log);
    let expected = fs::read_to_string(expected).with_context(|| expected.display().to_string())?;
    let expected: Vec<_> = expected
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .map(name)
        .collect();
    let mut count = Count::default();
    for (scenario, ok) in scenarios(&log) {
        let known = expected.contains(&scenario);
        let verdict = match (ok, known) {
            (true, false) => "PASS",
            (false, true) => "KNOWN",
            (false, false) => "FAIL",
            (true, true) => "STALE (it passes: take it out of the expected failures)",
        };
        count += Count::one(ok != known);
        say::line(format_args!("  {revision} {scenario} {verdict}"));
    }
    if count == Count::default() {
        anyhow::bail!("no scenario of {revision} ran:\n{log}");
    }
    Ok(count)
}

fn name(item: &str) -> &str {
    item.split([' ', '#']).next().unwrap_or(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_the_suite() {
        let log = "✓ noise: 1 passed, 0 failed\n=== SUMMARY ===\n✓ ping: 2 passed, 0 failed\n✗ caching: 7 passed, 1 failed\n✓ empty: 0 passed, 0 failed\n\nTotal: 9 passed, 1 failed\n✗ caching: 7 passed, 1 failed";
        assert_eq!(
            scenarios(log),
            [("ping", true), ("caching", false), ("empty", false)]
        );
        assert_eq!(name("caching # because"), "caching");
    }
}
