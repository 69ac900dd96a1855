//! Where the master key comes from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sallyport_core::random::token;
use sallyport_core::{Random, Secret};
use zeroize::Zeroizing;

use crate::{KeyError, MasterKey};

/// The longest key file that is read, in bytes: every written form of a key is far shorter.
const MAX_FILE: u64 = 1024;

/// Where the master key comes from.
pub enum MasterKeySource {
    /// A file that only the gateway's user can read; it is made when it does not exist.
    File(PathBuf),
    /// A value, from the environment or a secret store: 64 hex characters or 43 base64url characters.
    Value(Secret<String>),
}

/// The master key of this installation.
///
/// A key file is made with mode 0600 under a name of its own and then linked to its place, so that a crash leaves either
/// a whole key or none, and of two processes that start together one makes the key and both use it.
///
/// # Errors
/// [`KeyError`] says what is wrong and, for file modes, the command that mends it (VA-04, VA-09).
pub fn load_or_create(source: &MasterKeySource, random: &dyn Random) -> Result<MasterKey, KeyError> {
    match source {
        MasterKeySource::Value(text) => MasterKey::parse(text.expose()),
        MasterKeySource::File(path) => match load(path)? {
            Some(key) => Ok(key),
            None => {
                create(path, random).map_err(|source| KeyError::Io {
                    path: path.clone(),
                    source,
                })?;
                load(path)?.ok_or_else(|| KeyError::Io {
                    path: path.clone(),
                    source: io::ErrorKind::NotFound.into(),
                })
            }
        },
    }
}

fn load(path: &Path) -> Result<Option<MasterKey>, KeyError> {
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
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => KeyError::Form,
            _ => io(error),
        })?;
    MasterKey::parse(&text).map(Some)
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
    let mut bytes = Zeroizing::new([0u8; MasterKey::LEN]);
    random.fill(bytes.as_mut_slice());
    let key = MasterKey::from_bytes(*bytes).map_err(io::Error::other)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", token::<8>(random)));
    let temporary = PathBuf::from(temporary);
    let placed = write(&temporary, &key).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&temporary);
    placed.and(removed)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

fn write(path: &Path, key: &MasterKey) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // The mode given above is reduced by the umask; this one is not.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(key.to_hex().expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
