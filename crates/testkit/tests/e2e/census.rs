//! A server that leaves processes everywhere, and the count of what is left of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sallyport_testkit::process::program;
use serde_json::json;

use crate::support::until;

/// By this variable every process of a tree is found, whatever it became: the environment is inherited and never changes.
const MARK: &str = "SALLYPORT_TEST_TREE";

/// Within this time nothing of a tree is left after the gateway was killed.
pub(crate) const GONE: Duration = Duration::from_secs(2);

/// Within this time a server is stopped that does not listen: two seconds after the end of standard input, two more after
/// SIGTERM, and a little for the rest.
pub(crate) const STOPPED: Duration = Duration::from_secs(6);

/// What the server's shell starts besides the server: a child in its group; one in a session of its own that does not
/// listen to SIGTERM; one whose parent has gone; a daemon that forked twice; and ever new ones.
const SCRIPT: &str = r#"
sleep 1000 &
setsid sh -c 'trap "" TERM HUP INT; while :; do sleep 1000; done' &
(setsid sh -c 'trap "" TERM; sleep 1000 & wait' &)
python3 -c 'import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(2):
    if os.fork(): os._exit(0)
    os.setsid()
time.sleep(1000)' &
while :; do sleep 0.02; done &
"#;

/// The processes of one server.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    mark: String,
    deaf: bool,
    /// Without this file nothing starts.
    flag: Option<PathBuf>,
}

impl Tree {
    /// A tree of its own.
    pub(crate) fn new() -> Self {
        static TREES: AtomicU64 = AtomicU64::new(0);
        let number = TREES.fetch_add(1, Ordering::Relaxed);
        Self {
            mark: format!("{}-{number}", std::process::id()),
            deaf: false,
            flag: None,
        }
    }

    /// One that can be started only while there is a file `flag`.
    pub(crate) fn only_while(flag: &Path) -> Self {
        Self {
            flag: Some(flag.to_owned()),
            ..Self::new()
        }
    }

    /// One whose server neither listens to SIGTERM nor ends with its standard input.
    pub(crate) fn deaf() -> Self {
        Self {
            deaf: true,
            ..Self::new()
        }
    }

    /// The configuration of the server `name`, which speaks both eras.
    ///
    /// # Errors
    /// When the program does not compile.
    pub(crate) fn server(&self, name: &str) -> anyhow::Result<String> {
        self.described(name, &self.mark)
    }

    /// The verb that adds it to a running gateway.
    ///
    /// # Errors
    /// When the program does not compile.
    pub(crate) fn added(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let (variable, script) = (format!("{MARK}={}", self.mark), self.script()?);
        let words = ["add", name, "--env", &variable, "--", "/bin/sh", "-c", &script];
        Ok(words.map(str::to_owned).into())
    }

    fn script(&self) -> anyhow::Result<String> {
        let everything = program("sallyport-everything")?;
        let server = format!("{} --stdio --era dual", everything.display());
        let flag = self.flag.as_ref();
        let needed = flag.map_or_else(String::new, |flag| {
            format!("test -e {} || exit 1\n", flag.display())
        });
        Ok(if self.deaf {
            format!("{needed}trap '' TERM HUP INT\n{SCRIPT}{server}\nsleep 1000\n")
        } else {
            format!("{needed}{SCRIPT}exec {server}\n")
        })
    }

    fn described(&self, name: &str, mark: &str) -> anyhow::Result<String> {
        let script = self.script()?;
        let server = json!({ "command": "/bin/sh", "args": ["-c", script], "env": { MARK: mark } });
        Ok(format!("  {name}: {server}\n"))
    }

    /// The same, with the mark read from `file`, where it is written first.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn server_with_file(&self, name: &str, file: &Path) -> anyhow::Result<String> {
        std::fs::write(file, &self.mark)?;
        self.described(name, &format!("${{file:{}}}", file.display()))
    }

    /// The processes that live now. Those that ended and were not collected yet have no environment any more.
    pub(crate) fn census(&self) -> Vec<u32> {
        let wanted = format!("{MARK}={}", self.mark);
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let marked = |id: &u32| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        };
        ids.filter(marked).collect()
    }

    /// The servers themselves among them, which outlive everything that their shells start and end.
    pub(crate) fn servers(&self) -> Vec<u32> {
        let is_server = |id: &u32| {
            let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            arguments
                .split(|byte| *byte == 0)
                .next()
                .is_some_and(|name| name.ends_with(b"sallyport-everything"))
        };
        let mut servers: Vec<u32> = self.census().into_iter().filter(is_server).collect();
        servers.sort_unstable();
        servers
    }

    /// Waits until nothing is left after the gateway was killed, and says how long after `since` that was.
    ///
    /// # Errors
    /// When something is left after [`GONE`], with the command lines.
    pub(crate) async fn gone(&self, since: Instant) -> anyhow::Result<Duration> {
        self.gone_within(since, GONE).await
    }

    /// Waits until nothing is left of a server that was removed.
    ///
    /// # Errors
    /// When something is left after [`STOPPED`], with the command lines.
    pub(crate) async fn removed(&self) -> anyhow::Result<Duration> {
        self.gone_within(Instant::now(), STOPPED).await
    }

    async fn gone_within(&self, since: Instant, limit: Duration) -> anyhow::Result<Duration> {
        let told = until(since + limit, async || Ok(self.census().is_empty())).await;
        told.map_err(|error| {
            let line = |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let lines = self.census().iter().map(line).collect::<Vec<_>>();
            let left: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
            error.context(format!("left after {limit:?}: {left:?}"))
        })?;
        Ok(since.elapsed())
    }
}
