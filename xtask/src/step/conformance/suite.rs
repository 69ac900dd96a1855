//! Running the suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::Context as _;

use super::super::Count;
use super::judge::{self, Verdict};
use crate::workspace::Workspace;
use crate::{command, say, versions};

/// Where the suite goes, and with which token.
pub(super) struct Endpoint {
    url: String,
    token: Option<String>,
}

impl Endpoint {
    pub(super) fn new(url: &str, token: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: Some(token.to_owned()),
        }
    }

    /// An endpoint that asks for no token.
    pub(super) fn open(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: None,
        }
    }
}

/// One run of the suite.
pub(super) struct Wanted<'a> {
    /// What is measured, as in the names of logs and of expected failures.
    name: &'a str,
    endpoint: &'a Endpoint,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    /// All scenarios of a revision.
    Revision(&'a str),
    /// One scenario of an extension.
    Scenario(&'a str),
}

impl<'a> Wanted<'a> {
    pub(super) fn revision(name: &'a str, endpoint: &'a Endpoint, revision: &'a str) -> Self {
        Self {
            name,
            endpoint,
            what: What::Revision(revision),
        }
    }

    pub(super) fn scenario(name: &'a str, endpoint: &'a Endpoint, scenario: &'a str) -> Self {
        Self {
            name,
            endpoint,
            what: What::Scenario(scenario),
        }
    }

    fn label(&self) -> String {
        let (What::Revision(which) | What::Scenario(which)) = self.what;
        format!("{which}-{}", self.name)
    }
}

/// The suite, installed, and where its logs go.
pub(super) struct Suite<'a> {
    workspace: &'a Workspace,
    node: PathBuf,
    script: PathBuf,
    folder: PathBuf,
}

impl<'a> Suite<'a> {
    /// Installs the suite where it is missing; logs go to the folder `name`.
    pub(super) fn prepare(workspace: &'a Workspace, name: &str) -> anyhow::Result<Self> {
        let node = workspace.node()?.join("node");
        let script = workspace
            .npm("conformance", versions::CONFORMANCE)?
            .join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
        let folder = workspace.scratch(name)?;
        Ok(Self {
            workspace,
            node,
            script,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A script of the testkit's, to be run by the Node that runs the suite.
    pub(super) fn script(&self, name: &str) -> Command {
        let mut node = Command::new(&self.node);
        node.arg(self.workspace.testkit(name));
        node
    }

    /// The suite itself, with what it is told before anything else.
    pub(super) fn command(&self, preload: &str) -> Command {
        let mut run = Command::new(&self.node);
        run.arg("--import").arg(self.workspace.testkit(preload));
        run.arg(&self.script).env("NO_COLOR", "1");
        run
    }

    /// Runs the lanes beside each other, and what is in a lane in turn.
    pub(super) fn run(&self, lanes: Vec<Vec<Wanted<'_>>>) -> anyhow::Result<Count> {
        let counts = thread::scope(|scope| {
            let lane = |lane: Vec<Wanted<'_>>| -> anyhow::Result<Count> {
                let mut count = Count::default();
                for wanted in &lane {
                    count += self.one(wanted)?;
                }
                Ok(count)
            };
            let running: Vec<_> = lanes
                .into_iter()
                .map(|it| scope.spawn(move || lane(it)))
                .collect();
            let joined = running.into_iter().map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a lane of the suite panicked")))
            });
            joined.collect::<anyhow::Result<Vec<_>>>()
        })?;
        let mut sum = Count::default();
        counts.into_iter().for_each(|count| sum += count);
        say::line(format_args!(
            "  the suite's logs are in {}",
            self.folder.display()
        ));
        Ok(sum)
    }

    fn one(&self, wanted: &Wanted<'_>) -> anyhow::Result<Count> {
        let label = wanted.label();
        let mut run = Command::new(&self.node);
        if let Some(token) = &wanted.endpoint.token {
            run.arg("--import")
                .arg(self.workspace.testkit("conformance/bearer.mjs"))
                .env("CONFORMANCE_TOKEN", token);
        }
        run.arg(&self.script)
            .args(["server", "--url", &wanted.endpoint.url, "-o"])
            .arg(self.folder.join(&label))
            .env("CONFORMANCE_URL", &wanted.endpoint.url)
            .env("NO_COLOR", "1");
        match wanted.what {
            What::Revision(revision) => run.args(["--suite", "all", "--spec-version", revision]),
            What::Scenario(scenario) => run.args(["--scenario", scenario]),
        };
        // The suite fails if a scenario does; the verdict is ours, with the failures that are expected.
        let output = run.output().context("the suite")?;
        fs::write(
            self.folder.join(format!("{label}.log")),
            [output.stdout.as_slice(), &output.stderr].concat(),
        )?;
        let log = command::without_colours(&String::from_utf8_lossy(&output.stdout));
        let verdicts = match wanted.what {
            What::Revision(_) => judge::revision(&log, &self.expected(&label)?),
            What::Scenario(scenario) => vec![(scenario.to_owned(), judge::scenario(&log))],
        };
        anyhow::ensure!(!verdicts.is_empty(), "no scenario of {label} ran:\n{log}");
        let mut count = Count::default();
        for (scenario, verdict) in verdicts {
            count += Count::one(matches!(verdict, Verdict::Pass | Verdict::Known));
            if verdict != Verdict::Pass {
                say::line(format_args!("  {label}: {scenario} {verdict}"));
            }
        }
        say::line(format_args!(
            "  {label}: {} passed, {} failed",
            count.passed, count.failed
        ));
        Ok(count)
    }

    /// The failures that are expected of a run; none where there is no file for it.
    pub(super) fn expected(&self, label: &str) -> anyhow::Result<String> {
        let file = self
            .workspace
            .testkit(&format!("conformance/expected-{label}.yml"));
        if !file.exists() {
            return Ok(String::new());
        }
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }
}
