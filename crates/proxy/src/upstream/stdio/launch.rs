//! Starting a child: an absolute program, an argument vector, never a shell (ST-01).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sallyport_core::Secret;
use thiserror::Error;
use tokio::process::{Child, Command};

use super::env::{RefusedVariable, environment};
use crate::upstream::Launcher;

/// What is started, as the operator configured it.
pub(crate) struct Program<'a> {
    pub(crate) command: &'a str,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a BTreeMap<String, Secret<String>>,
    pub(crate) cwd: &'a Path,
}

/// Why a child did not start. Safe to log: arguments and values are left out.
#[derive(Debug, Error)]
pub(crate) enum LaunchError {
    #[error("there is no program `{0}` in PATH; give its full path or install it")]
    NotFound(String),
    #[error("`{0}` is not an executable file")]
    NotExecutable(PathBuf),
    #[error(transparent)]
    Variable(#[from] RefusedVariable),
    #[error("the launcher of the configuration is empty")]
    NoLauncher,
    #[error("the process could not be started: {0}")]
    Spawn(#[source] std::io::Error),
}

/// Starts the program in a process group of its own, with all three standard streams as pipes and nothing else
/// inherited.
///
/// # Errors
/// [`LaunchError`] says what is missing.
pub(crate) fn launch(
    launcher: &Launcher,
    gateway: &BTreeMap<OsString, OsString>,
    program: &Program<'_>,
) -> Result<Child, LaunchError> {
    let environment = environment(gateway, program.env)?;
    let path = environment.get(OsStr::new("PATH"));
    let executable = resolve(program.command, path.map(OsString::as_os_str), program.cwd)?;
    let mut command = match launcher {
        Launcher::Direct => {
            let mut command = Command::new(&executable);
            command.current_dir(program.cwd);
            command
        }
        Launcher::Guard(argv) => {
            let (first, rest) = argv.split_first().ok_or(LaunchError::NoLauncher)?;
            let mut command = Command::new(first);
            command
                .args(rest)
                .arg("--cwd")
                .arg(program.cwd)
                .arg("--")
                .arg(&executable);
            command
        }
    };
    command
        .args(program.args)
        .env_clear()
        .envs(&environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        // A guard that is killed could not end what the program started elsewhere; it notices our end by itself.
        .kill_on_drop(matches!(launcher, Launcher::Direct));
    command.spawn().map_err(LaunchError::Spawn)
}

/// The absolute path of a command: as it is, in the working directory if it names a directory, else looked up in the
/// absolute directories of `path`. Links are kept: some programs look at the name they were called by.
fn resolve(command: &str, path: Option<&OsStr>, cwd: &Path) -> Result<PathBuf, LaunchError> {
    let given = Path::new(command);
    if command.contains('/') {
        let full = cwd.join(given);
        return if full.is_absolute() && executable(&full) {
            Ok(full)
        } else {
            Err(LaunchError::NotExecutable(full))
        };
    }
    std::env::split_paths(path.unwrap_or_default())
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(given))
        .find(|candidate| executable(candidate))
        .ok_or_else(|| {
            LaunchError::NotFound(command.chars().take(64).flat_map(char::escape_default).collect())
        })
}

fn executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_03_commands_become_absolute_paths() {
        let path = OsStr::new("relative:/nonexistent:/bin");
        let cwd = Path::new("/bin");
        let found = |command| resolve(command, Some(path), cwd).ok();
        assert_eq!(found("sh"), Some("/bin/sh".into()));
        assert_eq!(found("/bin/sh"), Some("/bin/sh".into()));
        assert_eq!(found("./sh"), Some("/bin/./sh".into()));
        for missing in [
            "",
            "sh; touch /tmp/x",
            "$(sh)",
            "no-such-program",
            "/etc",
            "/etc/passwd",
        ] {
            assert_eq!(found(missing), None, "{missing:?}");
        }
        assert!(resolve("sh", None, cwd).is_err());
        assert!(resolve("./sh", Some(path), Path::new("relative")).is_err());
    }
}
