//! Children that end with whoever started them, and what they use.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// A program that runs in the background; it is stopped when this is dropped.
pub(crate) struct Background {
    child: Child,
}

impl Background {
    /// Starts `command` with its output in `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let out = fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        Ok(Self { child })
    }

    /// Starts `command` and waits for the first line that it prints.
    ///
    /// # Errors
    /// When it ends without a line.
    pub(crate) fn with_first_line(command: &mut Command) -> anyhow::Result<(Self, String)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("its output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let this = Self { child };
        if line.trim().is_empty() {
            bail!("it ended without a word");
        }
        Ok((this, line.trim().to_owned()))
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it, by force if it does not listen.
    pub(crate) fn stop(&mut self) {
        if !self.lives() {
            return;
        }
        // First politely, so that it can stop its own children.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while asked.is_ok() && self.lives() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The children of a process.
///
/// # Errors
/// When there is no such process.
pub(crate) fn children(process: u32) -> anyhow::Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    text.split_whitespace().map(|id| Ok(id.parse()?)).collect()
}

/// CPU time of all threads of a process so far, in microseconds.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu_micros(process: u32) -> anyhow::Result<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between the listing and the reading; what it used is lost, which is little.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        nanos += text
            .split(' ')
            .next()
            .and_then(|used| used.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(nanos / 1000)
}

/// Resident memory of a process in KiB.
///
/// # Errors
/// When there is no such process.
pub(crate) fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
