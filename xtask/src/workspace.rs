//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command;

/// The workspace and its target folder.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks Cargo.
    ///
    /// # Errors
    /// When Cargo does not answer.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the workspace")?;
        let mut metadata = cargo();
        metadata
            .args(["metadata", "--no-deps", "--format-version=1"])
            .current_dir(root);
        let metadata: serde_json::Value = serde_json::from_str(&command::quietly(&mut metadata)?)?;
        let target = metadata
            .get("target_directory")
            .and_then(serde_json::Value::as_str);
        Ok(Self {
            root: root.to_owned(),
            target: target.context("Cargo names no target folder")?.into(),
        })
    }

    /// `cargo` in the root of the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// The folder for what the tests install and leave behind, below the target folder.
    pub(crate) fn cache(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// The folder of what `cargo xtask release` builds, below the target folder.
    pub(crate) fn trained(&self) -> PathBuf {
        self.target.join("trained")
    }

    /// A folder for one run, empty.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn scratch(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.cache().join("run").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A program of the workspace as `cargo build` made it.
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// A file of the testkit.
    pub(crate) fn testkit(&self, file: &str) -> PathBuf {
        self.root.join("crates/testkit").join(file)
    }

    /// Builds every program of the workspace, unoptimised.
    ///
    /// # Errors
    /// When it does not compile.
    pub(crate) fn build(&self) -> anyhow::Result<()> {
        // All packages at once: the features of the dependencies stay those of the tests, so nothing is built twice.
        command::run(self.cargo().args(["build", "--quiet", "--workspace", "--bins"]))
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
