//! The definition lock: clients see and call only tools whose definitions are approved as they are. What is approved
//! stands in a file that people review; it is judged when a server's tools have changed, never while a request waits.

pub(crate) mod definition;
pub(crate) mod diff;
pub(crate) mod file;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sallyport_core::ServerName;
use sallyport_core::audit::{Action, Audit, Event, Outcome};
use sallyport_proxy::spec::{Curate, ServerSpec};
use sallyport_proxy::upstream::ServerState;
use tokio::sync::Notify;

use self::definition::{Definition, Identity};
use self::file::{Approved, Entry, LockError, LockFile};
use crate::config::Config;
use crate::config::lock::Mode;

/// The file's name where the configuration names none.
const NAME: &str = "sallyport.lock.json";

/// Where the approved definitions of a configuration are.
#[must_use]
pub(crate) fn path(config: &Config) -> PathBuf {
    if let Some(path) = &config.root.lock.file {
        return path.0.clone();
    }
    let beside = config.file.as_deref().and_then(Path::parent);
    beside.unwrap_or(&config.data_dir).join(NAME)
}

/// The lock of a running gateway.
pub(crate) struct Lock {
    state: Mutex<State>,
    audit: Arc<dyn Audit>,
    /// There is something to be written.
    learned: Notify,
}

struct State {
    mode: Mode,
    path: PathBuf,
    data_dir: PathBuf,
    file: LockFile,
    /// What the file looked like when it was read.
    stamp: Stamp,
    /// Tools that were held back once, by the approval that was in force: a server that goes back to what it said before is
    /// not trusted for that.
    held: HashMap<(ServerName, Box<str>), u64>,
    /// Of which definitions it was said that they are not approved: once each.
    told: HashSet<(ServerName, Box<str>, String)>,
    /// Servers that were seen for the first time, and are not in the file yet.
    learned: BTreeSet<String>,
}

/// Tells whether a file has changed; nothing where there is none.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// Why a tool is held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    NotApproved,
    Changed,
    ChangedBefore,
    Moved,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::NotApproved => "not approved",
            Self::Changed => "its definition has changed",
            Self::ChangedBefore => "its definition had changed since it was approved",
            Self::Moved => "its server is somewhere else than it was",
        }
    }
}

impl Lock {
    /// The lock that a configuration wants.
    ///
    /// # Errors
    /// [`LockError`]: the file cannot be used. With the mode `off` it is not looked at.
    pub(crate) fn open(config: &Config, audit: Arc<dyn Audit>) -> Result<Arc<Self>, LockError> {
        Ok(Arc::new(Self {
            state: Mutex::new(State::read(config)?),
            audit,
            learned: Notify::new(),
        }))
    }

    /// Goes on with another configuration.
    ///
    /// # Errors
    /// [`LockError`]; then everything stays as it is.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), LockError> {
        let next = State::read(config)?;
        let mut state = self.state();
        if (next.mode, &next.path) != (state.mode, &state.path) {
            *state = next;
        }
        Ok(())
    }

    /// What judges the servers' tools; `None` where nothing is judged.
    #[must_use]
    pub(crate) fn curator(self: &Arc<Self>) -> Option<Arc<dyn Curate>> {
        let is_off = self.state().mode == Mode::Off;
        (!is_off).then(|| Arc::clone(self) as Arc<dyn Curate>)
    }

    /// Looks whether the file has changed, and takes it over; says whether it has. A file that cannot be used changes
    /// nothing.
    pub(crate) fn refresh(&self) -> bool {
        let mut state = self.state();
        if state.mode == Mode::Off {
            return false;
        }
        let now = stamp(&state.path);
        if now == state.stamp {
            return false;
        }
        state.stamp = now;
        match LockFile::read(&state.path) {
            Ok(mut file) => {
                // What was seen for the first time a moment ago is about to be written.
                for name in state.learned.clone() {
                    if let Some(entry) = state.file.servers.remove(&name) {
                        file.servers.entry(name).or_insert(entry);
                    }
                }
                state.file = file;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the approved tools were not taken over; what was in force stays in force");
                false
            }
        }
    }

    /// Writes down what was seen for the first time, until the runtime ends.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            self.learned.notified().await;
            let this = Arc::clone(&self);
            let Ok(written) = tokio::task::spawn_blocking(move || this.write()).await else {
                return;
            };
            match written {
                Ok(approved) => self.tell_approved(&approved),
                Err(error) => tracing::error!(
                    %error,
                    "what servers offered first could not be written down: it counts until the gateway stops"
                ),
            }
        }
    }

    /// Writes what was learned, and gives it back. What somebody else has approved meanwhile stays.
    fn write(&self) -> Result<Vec<(String, Entry)>, LockError> {
        let (path, data_dir, learned) = {
            let state = self.state();
            let entries = state.learned.iter().filter_map(|name| {
                let entry = state.file.servers.get(name)?;
                Some((name.clone(), entry.clone()))
            });
            (
                state.path.clone(),
                state.data_dir.clone(),
                entries.collect::<Vec<_>>(),
            )
        };
        LockFile::update(&path, &data_dir, |file| {
            for (name, entry) in &learned {
                file.servers.entry(name.clone()).or_insert_with(|| entry.clone());
            }
            Some(())
        })?;
        let mut state = self.state();
        for (name, _) in &learned {
            state.learned.remove(name);
        }
        Ok(learned)
    }

    fn tell_approved(&self, approved: &[(String, Entry)]) {
        for (name, entry) in approved {
            let Ok(server) = ServerName::parse(name) else {
                continue;
            };
            tracing::info!(%server, tools = entry.tools.len(), "what the server offers first is approved");
            for (tool, approved) in &entry.tools {
                let event = Event {
                    server: Some(server.clone()),
                    ..Event::new(Action::ToolApprove, Outcome::Ok)
                };
                let why = format!("first use; sha256 {}", approved.sha256);
                self.record(&event.on(tool).because(why));
            }
        }
    }

    fn record(&self, event: &Event) {
        if self.audit.record(event).is_err() {
            tracing::error!("what became of a tool could not be recorded: the audit trail cannot be written");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Curate for Lock {
    fn held(&self, server: &ServerSpec, state: &ServerState) -> Vec<Box<str>> {
        let tools = &state.catalogue.tools;
        if tools.is_empty() {
            return Vec::new();
        }
        let offered: Vec<(&str, Definition)> = tools
            .iter()
            .map(|tool| (&*tool.key, Definition::of(&tool.raw)))
            .collect();
        let mut lock = self.state();
        if lock.learns(server, &offered) {
            self.learned.notify_one();
        }
        let mut held = Vec::new();
        let mut events = Vec::new();
        for (tool, definition) in &offered {
            let Some(why) = lock.judge(server, tool, definition) else {
                continue;
            };
            let passes = lock.mode == Mode::Warn;
            let of = (server.name.clone(), Box::from(*tool), definition.sha256.clone());
            if lock.told.insert(of) {
                tracing::warn!(
                    server = %server.name,
                    tool,
                    reason = why.words(),
                    "{}",
                    if passes { "a tool is not what was approved" } else { "a tool is held back; see `sallyport tools diff`" }
                );
                let outcome = if passes { Outcome::Ok } else { Outcome::Denied };
                let event = Event {
                    server: Some(server.name.clone()),
                    ..Event::new(Action::ToolHold, outcome)
                };
                let why = format!("{}; sha256 {}", why.words(), definition.sha256);
                events.push(event.on(tool).because(why));
            }
            if !passes {
                held.push(Box::from(*tool));
            }
        }
        drop(lock);
        events.iter().for_each(|event| self.record(event));
        held
    }
}

impl State {
    fn read(config: &Config) -> Result<Self, LockError> {
        let (mode, path) = (config.root.lock.mode, path(config));
        let stamp = stamp(&path);
        let file = match mode {
            Mode::Off => LockFile::default(),
            Mode::Warn | Mode::FirstUse | Mode::Strict => LockFile::read(&path)?,
        };
        Ok(Self {
            mode,
            path,
            data_dir: config.data_dir.clone(),
            file,
            stamp,
            held: HashMap::new(),
            told: HashSet::new(),
            learned: BTreeSet::new(),
        })
    }

    /// Approves what a server offers that was never seen before, where that is the mode; says whether it was so.
    fn learns(&mut self, server: &ServerSpec, offered: &[(&str, Definition)]) -> bool {
        let name = server.name.as_str();
        let learns = matches!(self.mode, Mode::Warn | Mode::FirstUse);
        if !learns || self.file.servers.contains_key(name) {
            return false;
        }
        let tools: BTreeMap<String, Approved> = offered
            .iter()
            .map(|(tool, definition)| ((*tool).to_owned(), definition.clone().into()))
            .collect();
        let entry = Entry {
            approval: 1,
            identity: Identity::of(server),
            tools,
        };
        self.file.servers.insert(name.to_owned(), entry);
        self.learned.insert(name.to_owned());
        true
    }

    /// Why a tool is not approved as it is; `None` if it is.
    fn judge(&mut self, server: &ServerSpec, tool: &str, definition: &Definition) -> Option<Why> {
        let Some(entry) = self.file.servers.get(server.name.as_str()) else {
            return Some(Why::NotApproved);
        };
        if entry.identity.sha256 != Identity::of(server).sha256 {
            return Some(Why::Moved);
        }
        let key = (server.name.clone(), Box::from(tool));
        let before = self.held.get(&key) == Some(&entry.approval);
        let why = match entry.tools.get(tool) {
            None => return Some(Why::NotApproved),
            Some(approved) if approved.sha256 != definition.sha256 => Why::Changed,
            Some(_) if before => Why::ChangedBefore,
            Some(_) => return None,
        };
        if self.mode != Mode::Warn {
            self.held.insert(key, entry.approval);
        }
        Some(why)
    }
}

#[cfg(test)]
mod tests;
