//! Installs what a test needs and the machine lacks, once, into the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;
use crate::{command, say, versions};

/// Runs `install` unless a note says that `what` is in `folder` already.
fn once(folder: &Path, what: &str, install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let note = folder.join(".installed");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == what) {
        return Ok(());
    }
    say::line(format_args!("  installing {what}"));
    fs::create_dir_all(folder)?;
    install()?;
    Ok(fs::write(note, what)?)
}

fn npm(folder: &Path, packages: &[&str], path: Option<&Path>) -> anyhow::Result<()> {
    once(folder, &packages.join(" "), || {
        fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
        let mut install = Command::new("npm");
        install
            .args([
                "install",
                "--ignore-scripts",
                "--no-package-lock",
                "--no-audit",
                "--no-fund",
                "--silent",
            ])
            .args(packages)
            .current_dir(folder);
        if let Some(node) = path {
            install.env("PATH", with_first(node)?);
        }
        command::quietly(&mut install).map(drop)
    })
}

/// PATH with `folder` before everything else.
///
/// # Errors
/// When the folder's name cannot stand in a PATH.
pub(crate) fn with_first(folder: &Path) -> anyhow::Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(
        std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path)),
    )?)
}

impl Workspace {
    /// The folder of a Node that is new enough.
    ///
    /// # Errors
    /// When there is none and npm cannot fetch one.
    pub(crate) fn node(&self) -> anyhow::Result<PathBuf> {
        if let Some(node) = command::find("node") {
            let version = command::quietly(Command::new(&node).arg("--version"))?;
            let major = version
                .trim_start_matches('v')
                .split('.')
                .next()
                .and_then(|major| major.parse().ok());
            if major.is_some_and(|major: u32| major >= versions::NODE_MAJOR) {
                return Ok(node.parent().context("node lies in a folder")?.to_owned());
            }
        }
        let arch = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => bail!("there is no Node package for {other}"),
        };
        let folder = self.cache().join("node");
        npm(&folder, &[&format!("node-linux-{arch}@{}", versions::NODE)], None)?;
        Ok(folder
            .join("node_modules")
            .join(format!("node-linux-{arch}"))
            .join("bin"))
    }

    /// A folder with these npm packages in its `node_modules`.
    ///
    /// # Errors
    /// When npm fails.
    pub(crate) fn npm(&self, name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
        let folder = self.cache().join("npm").join(name);
        npm(&folder, packages, Some(&self.node()?))?;
        Ok(folder)
    }

    /// The Python of a virtual environment with this PyPI package.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn python(&self, package: &str) -> anyhow::Result<PathBuf> {
        let folder = self.cache().join("python").join(package.replace("==", "-"));
        let python = folder.join("bin/python");
        once(&folder, package, || {
            let made = command::quietly(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            if made.is_err() {
                install(&["python3-venv"])?;
                command::quietly(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            }
            let mut install = Command::new(&python);
            install.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                package,
            ]);
            command::quietly(&mut install).map(drop)
        })?;
        Ok(python)
    }

    /// cargo-deny.
    ///
    /// # Errors
    /// When Cargo cannot install it.
    pub(crate) fn cargo_deny(&self) -> anyhow::Result<PathBuf> {
        let folder = self.cache().join("cargo-deny");
        once(&folder, &format!("cargo-deny {}", versions::CARGO_DENY), || {
            let mut install = self.cargo();
            // Unoptimised: it is quick enough for one check, and it is built on every fresh machine.
            install
                .args([
                    "install",
                    "cargo-deny",
                    "--locked",
                    "--debug",
                    "--quiet",
                    "--version",
                    versions::CARGO_DENY,
                ])
                .arg("--root")
                .arg(&folder)
                .arg("--target-dir")
                .arg(folder.join("target"));
            command::run(&mut install)?;
            Ok(fs::remove_dir_all(folder.join("target"))?)
        })?;
        Ok(folder.join("bin/cargo-deny"))
    }
}

impl Workspace {
    /// nginx, from Debian if there is none.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub(crate) fn nginx(&self) -> anyhow::Result<PathBuf> {
        self.server("nginx", "usr/sbin/nginx")
    }

    /// Caddy, from Debian if there is none.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub(crate) fn caddy(&self) -> anyhow::Result<PathBuf> {
        self.server("caddy", "usr/bin/caddy")
    }

    /// A server that is installed, or taken out of Debian's package without installing it: the package would start it.
    fn server(&self, package: &str, file: &str) -> anyhow::Result<PathBuf> {
        // Debian puts some where only root's PATH leads.
        let installed = Path::new("/").join(file);
        if let Some(found) = command::find(package).or_else(|| installed.is_file().then_some(installed)) {
            return Ok(found);
        }
        let folder = self.cache().join("debian").join(package);
        once(&folder, package, || {
            let download = || {
                let mut download = Command::new("apt-get");
                download
                    .args(["download", "--quiet", package])
                    .current_dir(&folder);
                command::quietly(&mut download)
            };
            if download().is_err() {
                apt(&["update", "--quiet"])?;
                download()?;
            }
            let archive = fs::read_dir(&folder)?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
                .with_context(|| format!("apt-get brought no package {package}"))?;
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(&archive).arg(&folder);
            command::quietly(&mut unpack).map(drop)
        })?;
        let program = folder.join(file);
        anyhow::ensure!(program.is_file(), "the package {package} has no {file}");
        Ok(program)
    }
}

/// A Chromium, from Debian if there is none.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn chromium() -> anyhow::Result<PathBuf> {
    let find = || {
        ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(command::find)
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    install(&["chromium"])?;
    find().context("the package chromium brought no chromium")
}

/// Valgrind, from Debian if there is none.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn valgrind() -> anyhow::Result<PathBuf> {
    if let Some(found) = command::find("valgrind") {
        return Ok(found);
    }
    install(&["valgrind"])?;
    command::find("valgrind").context("the package valgrind brought no valgrind")
}

/// Installs Debian packages.
///
/// # Errors
/// When apt-get fails.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    say::line(format_args!("  installing {} from Debian", packages.join(" ")));
    apt(&["update", "--quiet"])?;
    let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
    apt(&[&install, packages].concat())
}

/// Runs apt-get, with sudo where it is needed.
fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = match command::find("sudo") {
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.args(["--non-interactive", "apt-get"]);
            command
        }
        None => Command::new("apt-get"),
    };
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command::quietly(&mut command).map(drop)
}
