//! The lock file: what is approved, server by server and tool by tool, in a form that can be reviewed and kept in version
//! control.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::definition::{Definition, Identity, hash};

/// The form of the file that is read and written.
const VERSION: u32 = 1;

/// The largest file that is read: 64 MiB, some thousand servers.
const MAX_BYTES: u64 = 64 << 20;

/// What is approved.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockFile {
    version: u32,
    /// By the operator's name.
    pub(crate) servers: BTreeMap<String, Entry>,
}

/// What is approved of one server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Counts the approvals, so that a running gateway sees a new one even where nothing else is new.
    pub(crate) approval: u64,
    /// Where the server was.
    pub(crate) identity: Identity,
    /// Its tools, by their names there.
    pub(crate) tools: BTreeMap<String, Approved>,
}

/// One approved tool.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approved {
    /// The SHA-256 of the definition, in hex.
    pub(crate) sha256: String,
    /// What the server said.
    pub(crate) definition: Value,
}

impl From<Definition> for Approved {
    fn from(definition: Definition) -> Self {
        Self {
            sha256: definition.sha256,
            definition: definition.text,
        }
    }
}

/// Why a lock file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum LockError {
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is none.
    #[error("{path}: {what}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the mend.
        what: String,
    },
}

impl Default for LockFile {
    fn default() -> Self {
        Self {
            version: VERSION,
            servers: BTreeMap::new(),
        }
    }
}

impl LockFile {
    /// Reads a file; one that is not there approves nothing.
    ///
    /// # Errors
    /// [`LockError`]: it cannot be read, is no lock file, or says of a definition another hash than it has.
    pub(crate) fn read(path: &Path) -> Result<Self, LockError> {
        let failed = |error| LockError::Io {
            path: path.to_owned(),
            error,
        };
        let broken = |what: String| LockError::Broken {
            path: path.to_owned(),
            what,
        };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
            Ok(found) if found.len() > MAX_BYTES => {
                return Err(broken("it is larger than 64 MiB".to_owned()));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(failed)?;
        let file: Self = serde_json::from_slice(&bytes).map_err(|error| {
            broken(format!(
                "it is no lock file: {error}; restore it, or remove it and approve anew"
            ))
        })?;
        if file.version != VERSION {
            let version = file.version;
            return Err(broken(format!(
                "its version is {version}, and this program knows {VERSION}"
            )));
        }
        for (server, entry) in &file.servers {
            let altered = |(_, tool): &(&String, &Approved)| hash(&tool.definition) != tool.sha256;
            if let Some((tool, _)) = entry.tools.iter().find(altered) {
                return Err(broken(format!(
                    "the definition of `{tool}` of `{server}` is not the one of its sha256; restore it, or remove it and run \
                     `sallyport tools approve {server} {tool}`"
                )));
            }
        }
        Ok(file)
    }

    /// Writes the file in the place of the one that is there, whole or not at all.
    ///
    /// # Errors
    /// [`LockError::Io`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), LockError> {
        let failed = |error| LockError::Io {
            path: path.to_owned(),
            error,
        };
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let mut beside = path.to_owned().into_os_string();
        beside.push(".new");
        let written = || {
            let mut file = File::create(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        written().map_err(failed)
    }

    /// Changes the file, one process of a data directory after the other; what `change` says is written, if it says
    /// anything.
    ///
    /// # Errors
    /// [`LockError`]; then nothing was changed.
    pub(crate) fn update<T>(
        path: &Path,
        data_dir: &Path,
        change: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<Option<T>, LockError> {
        let guard = data_dir.join("tools.guard");
        let failed = |error| LockError::Io {
            path: guard.clone(),
            error,
        };
        // Given back when it is closed.
        let turn = File::create(&guard).map_err(failed)?;
        turn.lock().map_err(failed)?;
        let mut file = Self::read(path)?;
        let done = change(&mut file);
        if done.is_some() {
            file.write(path)?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> LockFile {
        let tool = Definition::of(br#"{"name":"b","inputSchema":{"type":"object"},"description":"x"}"#);
        let entry = Entry {
            approval: 1,
            identity: Identity {
                reached: "https://h/mcp".to_owned(),
                sha256: "00".to_owned(),
            },
            tools: [("b".to_owned(), tool.into())].into(),
        };
        LockFile {
            servers: [("docs".to_owned(), entry)].into(),
            ..LockFile::default()
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_always_written_alike() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sallyport.lock.json");
        assert_eq!(LockFile::read(&path).expect("none"), LockFile::default());
        file().write(&path).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(LockFile::read(&path).expect("read"), file());
        LockFile::read(&path)
            .expect("read")
            .write(&path)
            .expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), text);
        assert!(
            text.ends_with("}\n") && text.contains("\n          \"definition\": {\n"),
            "{text}"
        );
    }

    #[test]
    fn td_01_a_file_that_was_tampered_with_or_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("l.json");
        file().write(&path).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        for (changed, words) in [
            (text.replace("\"x\"", "\"y\""), "is not the one of its sha256"),
            (
                text.replace("\"version\": 1", "\"version\": 2"),
                "its version is 2",
            ),
            (text.replace("approval", "approvals"), "it is no lock file"),
            (String::new(), "it is no lock file"),
        ] {
            fs::write(&path, &changed).expect("written");
            let error = LockFile::read(&path).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
