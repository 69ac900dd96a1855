//! Where clients are played: each gets a home of its own and a browser that logs in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::EXPECTED;
use super::roster::Client;
use crate::step::Count;
use crate::{gateway, provide, say};

/// For everything that a client does before the break, and again for everything after it. All of them start at once.
const DEADLINE: Duration = Duration::from_secs(180);
/// Files in a client's home: made after the first call, the word for the second one, what it prints, what its browser did.
const FIRST: &str = "first";
const SECOND: &str = "second";
const LOG: &str = "log";
const BROWSER_LOG: &str = "login.log";
/// How often it is looked at what became of them.
const LOOK: Duration = Duration::from_millis(50);
/// What programs call to open a browser.
const OPENERS: [&str; 5] = [
    "xdg-open",
    "open",
    "x-www-browser",
    "www-browser",
    "sensible-browser",
];

/// A room.
pub(super) struct Room<'a> {
    pub(super) folder: &'a Path,
    pub(super) node: &'a Path,
    pub(super) login: PathBuf,
    /// The document that describes those clients that have none of their own.
    pub(super) document: Option<String>,
}

/// A client that is being played.
struct Playing {
    name: &'static str,
    after: Option<&'static str>,
    logins: usize,
    home: PathBuf,
    /// Until it is started.
    command: Option<Command>,
    /// Since it is started.
    child: Option<Child>,
    begin: Instant,
    /// How it ended, and after how long.
    ended: Option<(bool, Duration)>,
}

impl Playing {
    /// The file that it makes after its first call.
    fn first(&self) -> PathBuf {
        self.home.join(FIRST)
    }

    /// Whether it waits for the second call, or has ended.
    fn has_called(&self) -> bool {
        self.ended.is_some() || self.first().exists()
    }

    fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    fn start(&mut self) -> anyhow::Result<()> {
        if let Some(mut command) = self.command.take() {
            self.begin = Instant::now();
            self.child = Some(command.spawn().with_context(|| self.name.to_owned())?);
        }
        Ok(())
    }

    /// Lets it make its second call.
    fn go_on(&mut self) -> anyhow::Result<()> {
        Ok(fs::write(self.home.join(SECOND), "")?)
    }

    /// Looks whether it has ended, and ends it when its time is over.
    fn look(&mut self, is_late: bool) -> anyhow::Result<()> {
        let Some(child) = self.child.as_mut().filter(|_| self.ended.is_none()) else {
            return Ok(());
        };
        if let Some(status) = child.try_wait()? {
            self.ended = Some((status.success(), self.begin.elapsed()));
        } else if is_late {
            child.kill()?;
            child.wait()?;
            self.ended = Some((false, self.begin.elapsed()));
        }
        Ok(())
    }

    /// It has to end well, to have the tool's answer twice, and to have asked its person no oftener than it must.
    fn judge(&self) -> Count {
        let read = |name| fs::read_to_string(self.home.join(name)).unwrap_or_default();
        let (said, browser) = (read(LOG), read(BROWSER_LOG));
        let is_answer = |line: &&str| {
            let of_ours = line.starts_with("result ");
            line.contains(EXPECTED) && (of_ours || line.trim_start().starts_with("\"text\":"))
        };
        let answers = said.lines().filter(is_answer).count();
        let is_login = |line: &&str| line.starts_with("POST ") && line.contains("/login ");
        let logins = browser.lines().filter(is_login).count();
        let (success, took) = self.ended.unwrap_or_default();
        let ok = success && answers == 2 && logins == self.logins;
        let verdict = if ok { "PASS" } else { "FAIL" };
        say::line(format_args!(
            "  {verdict} {} {:.1} s",
            self.name,
            took.as_secs_f64()
        ));
        if !ok {
            say::line(format_args!(
                "{answers} answers, {logins} log-ins\n{said}\n--- the browser\n{browser}"
            ));
        }
        Count::one(ok)
    }
}

impl Room<'_> {
    /// Plays all clients at once; `between` happens when each has made its first call.
    pub(super) fn play(
        &self,
        clients: Vec<Client>,
        between: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Count> {
        let seated = clients.into_iter().map(|client| self.seat(client));
        let mut playing: Vec<Playing> = seated.collect::<Result<_, _>>()?;
        all(&mut playing, Playing::start, Playing::has_called)?;
        between()?;
        all(&mut playing, Playing::go_on, Playing::has_ended)?;
        let mut count = Count::default();
        for one in &playing {
            count += one.judge();
        }
        Ok(count)
    }

    /// A home with nothing in it, and an environment that has nothing of the machine's but the programs.
    fn seat(&self, client: Client) -> anyhow::Result<Playing> {
        let home = self.folder.join(client.name);
        let browser = self.browser(&home)?;
        let system = provide::with_first(self.node)?;
        let shims = browser.parent().context("the browser lies in a folder")?;
        let path =
            std::env::join_paths(std::iter::once(shims.to_owned()).chain(std::env::split_paths(&system)))?;
        let mut command = client.command;
        let own: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command
            .env_clear()
            .envs([
                ("LANG", "C.UTF-8"),
                ("TERM", "dumb"),
                ("NO_COLOR", "1"),
                ("DISPLAY", ":99"),
                ("LOGIN_USER", gateway::USER),
                ("LOGIN_PASSWORD", gateway::PASSWORD),
            ])
            .env("LOGIN_LOG", home.join(BROWSER_LOG))
            .env("HOME", &home)
            // Else the desktop's own browser would be found before ours.
            .env("XDG_DATA_DIRS", &home)
            .env("XDG_CONFIG_DIRS", &home)
            .env("PATH", path)
            .env("BROWSER", browser)
            .env("FIRST", home.join(FIRST))
            .env("SECOND", home.join(SECOND))
            .envs(own)
            .current_dir(&home);
        if let Some(document) = &self.document {
            command.env("CLIENT_DOCUMENT", document);
            if let Some(option) = client.document {
                command.args([option, document]);
            }
        }
        let out = fs::File::create(home.join(LOG))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        Ok(Playing {
            name: client.name,
            after: client.after,
            logins: client.logins,
            home,
            command: Some(command),
            child: None,
            begin: Instant::now(),
            ended: None,
        })
    }

    /// What opens a URL for the client: a browser that logs in.
    fn browser(&self, home: &Path) -> anyhow::Result<PathBuf> {
        let shims = home.join("shims");
        fs::create_dir_all(&shims)?;
        let browser = shims.join("browser");
        let node = self.node.join("node");
        // In the background: some clients wait for the command that opens the browser.
        let script = format!(
            "#!/bin/sh\n'{}' '{}' \"$@\" >/dev/null 2>&1 &\n",
            node.display(),
            self.login.display()
        );
        fs::write(&browser, script)?;
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
        for opener in OPENERS {
            std::os::unix::fs::symlink(&browser, shims.join(opener))?;
        }
        Ok(browser)
    }
}

/// Has every client do `step`, those that come after another one when that is where it should be, and waits until it is so
/// of all of them or the time is over.
fn all(
    playing: &mut [Playing],
    step: fn(&mut Playing) -> anyhow::Result<()>,
    is_so: fn(&Playing) -> bool,
) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut waiting: Vec<usize> = (0..playing.len()).collect();
    loop {
        let there: Vec<_> = playing
            .iter()
            .filter(|one| is_so(one))
            .map(|one| one.name)
            .collect();
        let is_late = since.elapsed() > DEADLINE;
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|at| {
            let after = playing.get(*at).and_then(|one| one.after);
            after.is_none_or(|after| there.contains(&after))
        });
        waiting = later;
        for (at, one) in playing.iter_mut().enumerate() {
            if now.contains(&at) {
                step(one)?;
            }
            one.look(is_late)?;
        }
        let all_there = playing.iter().all(is_so);
        if is_late || (waiting.is_empty() && all_there) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}
