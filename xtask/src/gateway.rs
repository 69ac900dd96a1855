//! A gateway for the steps that drive it from outside: the built program with a configuration of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::command;
use crate::process::Background;

/// The person that every step logs in as.
pub(crate) const USER: &str = "ada";
/// Her password; the gateway listens on loopback and lives for seconds.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple";

/// A gateway that runs; it ends when this is dropped.
pub(crate) struct Gateway {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    origin: String,
    admin: u16,
    process: Background,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Gateway {
    /// Starts `program` in `folder`; `more` is added to its configuration (servers, profiles). With `account`, [`USER`]
    /// is made before; without, the setup link waits.
    ///
    /// # Errors
    /// When it is not ready after 60 seconds; its log is part of the error.
    pub(crate) fn start(program: &Path, folder: &Path, more: &str, account: bool) -> anyhow::Result<Self> {
        Self::start_as(Command::new(program), program, folder, more, account)
    }

    /// As [`Self::start`], with `serve` to start the program in its place.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn start_as(
        mut serve: Command,
        program: &Path,
        folder: &Path,
        more: &str,
        account: bool,
    ) -> anyhow::Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        // `localhost`: the conformance suite asks for that name.
        let origin = format!("http://localhost:{port}");
        let config = folder.join("sallyport.yaml");
        let data = folder.join("data");
        let text = format!(
            "public_url: {origin}\nlisten: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{admin}\ndata_dir: {}\n{more}",
            data.display()
        );
        fs::write(&config, text)?;
        // Not beside the configuration, which is watched: each line would wake the watcher.
        let logs = folder.join("log");
        fs::create_dir_all(&logs)?;
        let log = logs.join("gateway.log");
        if account {
            let mut add = Command::new(program);
            add.arg("-c")
                .arg(&config)
                .args(["user", "add", USER, "--admin", "--password-stdin"]);
            command::with_input(&mut add, &format!("{PASSWORD}\n"))?;
        }
        serve.arg("-c").arg(&config).arg("serve");
        let process = Background::start(&mut serve, &log)?;
        let mut gateway = Self {
            program: program.to_owned(),
            config,
            log,
            origin,
            admin,
            process,
        };
        gateway.wait()?;
        Ok(gateway)
    }

    /// Stops it and starts it again, with the same configuration and data.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.process.stop();
        let mut serve = Command::new(&self.program);
        serve.arg("-c").arg(&self.config).arg("serve");
        self.process = Background::start(&mut serve, &self.log.with_extension("again.log"))?;
        self.wait()
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && self.process.lives() {
            if ready(self.admin).unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        bail!(
            "the gateway does not get ready:\n{}",
            fs::read_to_string(&self.log).unwrap_or_default()
        )
    }

    /// The URL of the profile `slug`.
    pub(crate) fn url(&self, slug: &str) -> String {
        if slug == "default" {
            format!("{}/mcp", self.origin)
        } else {
            format!("{}/mcp/{slug}", self.origin)
        }
    }

    /// Its public URL, which is also the issuer of its tokens.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The one-time link of the banner.
    ///
    /// # Errors
    /// When the banner has none.
    pub(crate) fn setup_link(&self) -> anyhow::Result<String> {
        let start = format!("{}/setup", self.origin);
        // It is ready a moment before it says so.
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut log = fs::read_to_string(&self.log)?;
        while !log.contains(&start) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(25));
            log = fs::read_to_string(&self.log)?;
        }
        let link = log
            .find(&start)
            .and_then(|at| log.get(at..))
            .context("no setup link was printed")?;
        // A person's banner puts it between blanks, a log for machines between quotes.
        let end = link.find(|c: char| c.is_whitespace() || "\"'\\\u{1b}".contains(c));
        Ok(link
            .get(..end.unwrap_or(link.len()))
            .unwrap_or_default()
            .to_owned())
    }

    /// The names of the clients that are registered.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn clients(&self) -> anyhow::Result<Vec<String>> {
        let mut list = Command::new(&self.program);
        list.arg("-c")
            .arg(&self.config)
            .args(["-o", "json", "client", "list"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(&command::quietly(&mut list)?)?;
        let name = |client: &serde_json::Value| Some(client.get("client_name")?.as_str()?.to_owned());
        Ok(list.iter().filter_map(name).collect())
    }

    /// The id of a new client without a secret.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn client(&self, name: &str, redirect_uri: &str) -> anyhow::Result<String> {
        let mut create = Command::new(&self.program);
        create.arg("-c").arg(&self.config).args(["-o", "json"]);
        create.args(["client", "create", name, "--redirect-uri", redirect_uri]);
        let client: serde_json::Value = serde_json::from_str(&command::quietly(&mut create)?)?;
        let id = client.get("client_id").and_then(serde_json::Value::as_str);
        Ok(id.context("the client has no id")?.to_owned())
    }

    /// An access token for the profile `slug`.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn token(&self, slug: &str) -> anyhow::Result<String> {
        let mut issue = Command::new(&self.program);
        issue
            .arg("-c")
            .arg(&self.config)
            .args(["token", "issue", "--user", USER, "--profile", slug]);
        Ok(command::quietly(&mut issue)?.trim().to_owned())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a question to our own gateway on loopback"
)]
fn ready(port: u16) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
