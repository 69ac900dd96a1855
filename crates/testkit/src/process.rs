//! The built program, started as an operator would start it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::front::{Front, PASSWORD};
use crate::http::{Answer, Connection, Request};

/// A program of the workspace: built on the first use, if the build is older than the code.
///
/// # Errors
/// When it does not compile.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || -> anyhow::Result<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let optimised = (!cfg!(debug_assertions)).then_some("--release");
        let built = std::process::Command::new(cargo)
            // All packages, as the tests are built: with other features everything would be compiled again.
            .args(["build", "--quiet", "--workspace", "--bins"])
            .args(optimised)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .status()?;
        anyhow::ensure!(built.success(), "cargo build failed");
        // A test runs from target/PROFILE/deps.
        let test = std::env::current_exe()?;
        Ok(test
            .ancestors()
            .nth(2)
            .context("a test lies in the target folder")?
            .to_owned())
    };
    match BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) => bail!("{error}"),
    }
}

/// A gateway in a process of its own.
pub struct GatewayProcess {
    folder: tempfile::TempDir,
    /// Another program than the one that is built for the tests.
    program: Option<PathBuf>,
    child: Option<Child>,
    front: Front,
    admin: SocketAddr,
}

impl Deref for GatewayProcess {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

/// An address of the loopback interface on which nobody listens, another one each time.
///
/// The port is below those that the system gives to connections and to port 0, so that nobody else takes it before it is
/// bound; each process begins at another place.
///
/// # Errors
/// When there is no port left.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    for _ in PORTS {
        let step = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + step % (PORTS.end - PORTS.start))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}

impl GatewayProcess {
    /// Starts a gateway with `more` (YAML) added to a configuration of free ports and an empty data directory.
    ///
    /// # Errors
    /// When it does not get ready; its log is part of the error.
    pub async fn start(more: &str) -> anyhow::Result<Self> {
        let mut this = Self::prepare(more)?;
        this.serve().await?;
        Ok(this)
    }

    /// Writes the configuration and starts nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn prepare(more: &str) -> anyhow::Result<Self> {
        let this = Self {
            folder: tempfile::tempdir()?,
            program: None,
            child: None,
            front: Front::new(free_address()?),
            admin: free_address()?,
        };
        this.configure(more)?;
        Ok(this)
    }

    /// Uses this program, and builds none.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Writes the configuration anew; a running gateway notices by itself.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, more: &str) -> anyhow::Result<()> {
        let text = format!(
            "public_url: {}\nlisten: {}\nadmin_listen: {}\ndata_dir: {}\n{more}",
            self.front.origin(),
            self.front.address(),
            self.admin,
            self.data_dir().display()
        );
        // Renamed into place, as editors and deployments do it: nobody reads half a file.
        let next = self.folder.path().join("sallyport.yaml.next");
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(&next, self.config())?)
    }

    /// Starts the process and waits until it can serve.
    ///
    /// # Errors
    /// When it does not get ready; its log is part of the error.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let child = self
            .command()?
            .arg("serve")
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while tokio::time::Instant::now() < deadline && self.lives() {
            if self.admin("/readyz").await.is_ok_and(|status| status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the gateway does not get ready:\n{}", self.log())
    }

    /// The program with this gateway's configuration; the verb is still to come.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn command(&self) -> anyhow::Result<Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => program("sallyport")?,
        };
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(self.config())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs a verb to its end and returns its standard output.
    ///
    /// # Errors
    /// With its standard error, when it does not succeed.
    pub async fn run(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = self
            .command()?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A verb that does not read its input says so with its status.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        let error = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "{arguments:?} ended with {}: {error}",
            output.status
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes an account with [`PASSWORD`].
    ///
    /// # Errors
    /// When the verb fails.
    pub async fn add_user(&self, name: &str, admin: bool) -> anyhow::Result<()> {
        let mut arguments = vec!["user", "add", name, "--password-stdin"];
        if admin {
            arguments.push("--admin");
        }
        self.run(&arguments, &format!("{PASSWORD}\n")).await.map(drop)
    }

    /// The status of a path of the admin listener.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn admin(&self, path: &str) -> anyhow::Result<u16> {
        Ok(self.admin_page(path).await?.status())
    }

    /// What a path of the admin listener answers.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn admin_page(&self, path: &str) -> anyhow::Result<Answer> {
        let mut connection = Connection::open(self.admin, &self.admin.to_string()).await?;
        connection.ask(&Request::get(path)).await
    }

    /// The one-time link with which the first administrator makes an account.
    ///
    /// # Errors
    /// With the log, when it has none.
    pub fn setup_link(&self) -> anyhow::Result<String> {
        let (log, start) = (self.log(), format!("{}/setup", self.front.origin()));
        let link = log
            .find(&start)
            .and_then(|at| log.get(at..))
            .with_context(|| log.clone())?;
        let end = link.find(|c: char| c.is_whitespace() || "\"'\\\u{1b}".contains(c));
        Ok(link
            .get(..end.unwrap_or(link.len()))
            .unwrap_or_default()
            .to_owned())
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("sallyport.yaml")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Everything that it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The process id of the running gateway.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Whether it runs.
    pub fn lives(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .take()
            .context("it does not run")?
            .kill()
            .await
            .context("kill")
    }

    /// Sends a signal (`TERM`, `HUP`) by its name.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let id = self.id().context("it does not run")?.to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await?;
        anyhow::ensure!(sent.success(), "kill -s {name} failed");
        Ok(())
    }

    /// Asks it to stop and waits for its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        self.signal("TERM").await?;
        self.ended().await
    }

    /// Waits for its exit code; none when a signal ended it.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        let mut child = self.child.take().context("it does not run")?;
        let status = crate::http::in_time("its end", async { Ok(child.wait().await?) }).await?;
        Ok(status.code())
    }
}
