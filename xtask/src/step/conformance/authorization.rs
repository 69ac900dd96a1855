//! The suite's scenarios for authorization servers: the suite is the client, and a browser without JavaScript logs in.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::Context as _;

use super::super::Count;
use super::MODERN;
use super::judge::{self, Verdict};
use super::suite::Suite;
use crate::gateway::{self, Gateway, free_port};
use crate::say;

/// The suite has two.
const SCENARIOS: usize = 2;

/// Runs them against the gateway's issuer.
pub(super) fn run(suite: &Suite<'_>, gateway: &Gateway) -> anyhow::Result<Count> {
    let port = free_port()?;
    let callback = format!("http://127.0.0.1:{port}/callback");
    let client = gateway.client("conformance", &callback)?;
    let mut run = suite.command("conformance/loopback.mjs");
    run.args(["authorization", "--url", gateway.origin(), "--client-id", &client]);
    run.args(["--port", &port.to_string(), "--spec-version", MODERN, "-o"]);
    run.arg(suite.folder().join("authorization"));
    let mut run = run
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("the suite")?;
    let said = BufReader::new(run.stdout.take().context("its output")?);
    let (mut log, mut browser) = (String::new(), None);
    for line in said.lines() {
        let line = line?;
        // It waits for a browser, for minutes.
        if line.starts_with("http") && line.contains("response_type=code") {
            browser = Some(log_in(suite, &line)?);
        }
        log.push_str(&line);
        log.push('\n');
    }
    run.wait()?;
    if let Some(mut browser) = browser {
        browser.wait()?;
    }
    fs::write(suite.folder().join("authorization.log"), &log)?;
    let verdicts = judge::revision(&log, "");
    anyhow::ensure!(verdicts.len() == SCENARIOS, "not all scenarios ran:\n{log}");
    let mut count = Count::default();
    for (scenario, verdict) in verdicts {
        count += Count::one(verdict == Verdict::Pass);
        if verdict != Verdict::Pass {
            say::line(format_args!("  authorization: {scenario} {verdict}"));
        }
    }
    say::line(format_args!(
        "  authorization: {} passed, {} failed",
        count.passed, count.failed
    ));
    Ok(count)
}

fn log_in(suite: &Suite<'_>, url: &str) -> anyhow::Result<Child> {
    let mut browser = suite.script("clients/login.mjs");
    browser
        .arg(url)
        .env("LOGIN_USER", gateway::USER)
        .env("LOGIN_PASSWORD", gateway::PASSWORD)
        .env("LOGIN_LOG", suite.folder().join("authorization-login.log"));
    browser.stdin(Stdio::null()).stdout(Stdio::null());
    browser.spawn().context("the browser")
}
