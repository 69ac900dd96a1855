//! The programs that a benchmark runs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::workspace::Workspace;
use crate::{Options, command, release, say};

/// The profile of Cargo for what measures, unless another is named.
const PROFILE: &str = "release";

/// All that are run, built.
pub(super) struct Programs<'a> {
    workspace: &'a Workspace,
    /// The profile of Cargo that is measured in place of the trained program.
    named: Option<&'a str>,
    gateway: PathBuf,
    against: Option<PathBuf>,
}

impl<'a> Programs<'a> {
    /// Builds the gateway and what it is measured with.
    ///
    /// # Errors
    /// When something does not compile, the training fails, or there is no program to measure against.
    pub(super) fn build(workspace: &'a Workspace, options: &Options<'a>) -> anyhow::Result<Self> {
        let against = match options.against {
            // Before anything is built, so that a wrong path is not told after half an hour.
            Some(program) => Some(Path::new(program).canonicalize().context(program.to_owned())?),
            None => None,
        };
        let build = |package: &str, profile: &str| {
            let mut build = workspace.cargo();
            build.args(["build", "--quiet", "--bins", "--profile", profile]);
            command::run(build.args(["--package", package]))
        };
        let gateway = match options.profile {
            Some(profile) => {
                build("sallyport", profile)?;
                workspace.program(profile, "sallyport")
            }
            None => release::build(workspace)?,
        };
        build("sallyport-bench", options.profile.unwrap_or(PROFILE))?;
        Ok(Self {
            workspace,
            named: options.profile,
            gateway,
            against,
        })
    }

    /// The program that is measured.
    pub(super) fn gateway(&self) -> &Path {
        &self.gateway
    }

    /// The build that it is measured against.
    pub(super) fn against(&self) -> Option<&Path> {
        self.against.as_deref()
    }

    /// A program of the benchmark by the last part of its name.
    pub(super) fn bench(&self, name: &str) -> PathBuf {
        self.workspace
            .program(self.named.unwrap_or(PROFILE), &format!("sallyport-bench-{name}"))
    }

    /// Says what is measured.
    pub(super) fn print(&self) {
        let built = match self.named {
            Some(profile) => format!("built in Cargo's profile `{profile}`, not trained"),
            None => "built as it is delivered: trained".to_owned(),
        };
        say::line(format_args!("gateway: {}, {built}", self.gateway.display()));
        if let Some(against) = &self.against {
            say::line(format_args!("against: {}", against.display()));
        }
    }
}
