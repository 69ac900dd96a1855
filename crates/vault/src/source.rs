//! Where the master keys come from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sallyport_core::random::token;
use sallyport_core::{Random, Secret};
use zeroize::Zeroizing;

use crate::ring::other;
use crate::{KeyError, MasterKey, MasterKeys};

/// The longest key file that is read, in bytes: ten keys in their longest form are shorter.
const MAX_FILE: u64 = 1024;

/// Where the master keys come from.
#[derive(Clone)]
pub enum MasterKeySource {
    /// A file that only the gateway's user can read; it is made when it does not exist. Its first line is the key that
    /// seals; each further one is `next KEY` or `retired KEY`.
    File(PathBuf),
    /// Values, from the environment or a secret store: 64 hex characters or 43 base64url characters.
    Value {
        /// The key that seals.
        active: Secret<String>,
        /// Those that only open, separated by commas or white space.
        retired: Secret<String>,
    },
}

/// The master keys of this installation.
///
/// A key file is made with mode 0600 under a name of its own and then linked to its place, so that a crash leaves either
/// a whole key or none, and of two processes that start together one makes the key and both use it.
///
/// # Errors
/// [`KeyError`] says what is wrong and, for file modes, the command that mends it (VA-04, VA-09).
pub fn load_or_create(source: &MasterKeySource, random: &dyn Random) -> Result<MasterKeys, KeyError> {
    if let Some(keys) = load_existing(source)? {
        return Ok(keys);
    }
    if let MasterKeySource::File(path) = source {
        create(path, random).map_err(|source| KeyError::Io {
            path: path.clone(),
            source,
        })?;
    }
    load_existing(source)?.ok_or(KeyError::Form)
}

/// The master keys, if there are any; makes none.
///
/// # Errors
/// As for [`load_or_create`].
pub fn load_existing(source: &MasterKeySource) -> Result<Option<MasterKeys>, KeyError> {
    match source {
        MasterKeySource::Value { active, retired } => {
            MasterKeys::parse(active.expose(), retired.expose()).map(Some)
        }
        MasterKeySource::File(path) => load(path),
    }
}

/// Puts other keys into a key file in place of those that are known to be there: in one step, so that a crash leaves the
/// old keys or the new ones, and on the disk when it returns.
///
/// # Errors
/// [`KeyError::Changed`] if somebody else has changed the file meanwhile, [`KeyError::Io`] if it cannot be written.
pub fn replace(path: &Path, known: &MasterKeys, keys: &MasterKeys) -> Result<(), KeyError> {
    if load(path)?.is_none_or(|found| !found.are(known)) {
        return Err(KeyError::Changed {
            path: path.to_owned(),
        });
    }
    let text = keys.clone().checked()?.text();
    // Always the same name, so that what a crash has left of it goes with the next time.
    let temporary = beside(path, "new");
    let removed = match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let placed = removed
        .and_then(|()| write(&temporary, &text))
        .and_then(|()| fs::rename(&temporary, path));
    placed.and_then(|()| sync(path)).map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })
}

fn load(path: &Path) -> Result<Option<MasterKeys>, KeyError> {
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened: opening a FIFO would wait for its writer.
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(KeyError::NotAFile {
                path: path.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    }
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nofollow)
        .open(path)
        .map_err(io)?;
    check(path, &file)?;
    let mut text = Zeroizing::new(String::with_capacity(1 + usize::try_from(MAX_FILE).unwrap_or(0)));
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => KeyError::Form,
            _ => io(error),
        })?;
    read(path, &text).map(Some)
}

fn read(path: &Path, text: &str) -> Result<MasterKeys, KeyError> {
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(KeyError::Long {
            path: path.to_owned(),
            max: MAX_FILE,
            keys: 1 + MasterKeys::MAX_RETIRED,
        });
    }
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let (_, active) = lines.next().ok_or(KeyError::Form)?;
    let mut keys = MasterKeys::one(MasterKey::parse(active)?);
    for (number, (at, line)) in (1..).zip(lines) {
        let unknown = || KeyError::Line {
            path: path.to_owned(),
            line: at + 1,
        };
        match line.trim().split_once(char::is_whitespace).ok_or_else(unknown)? {
            ("retired", key) => keys.retired.push(other(number, key)?),
            ("next", key) if keys.next.is_none() => keys.next = Some(other(number, key)?),
            _ => return Err(unknown()),
        }
    }
    keys.checked()
}

/// The file that is open, not the name: nobody can exchange it between the check and the reading.
fn check(path: &Path, file: &File) -> Result<(), KeyError> {
    let found = file.metadata().map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })?;
    if !found.is_file() {
        return Err(KeyError::NotAFile {
            path: path.to_owned(),
        });
    }
    let user = rustix::process::geteuid().as_raw();
    // root's files are as safe as our own: who is root can read them anyway.
    if found.uid() != user && found.uid() != 0 {
        return Err(KeyError::Owner {
            path: path.to_owned(),
            owner: found.uid(),
            user,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::LooseMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

fn create(path: &Path, random: &dyn Random) -> io::Result<()> {
    let key = MasterKey::make(random).map_err(io::Error::other)?;
    let temporary = beside(path, &token::<8>(random));
    let written = write(&temporary, &MasterKeys::one(key).text());
    let placed = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&temporary);
    placed.and(removed)?;
    sync(path)
}

/// Another name in the same directory.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{ending}"));
    PathBuf::from(temporary)
}

/// Has the directory remember its names.
fn sync(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // The mode given above is reduced by the umask; this one is not.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
