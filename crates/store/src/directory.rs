//! The data directory: ours alone, or nothing starts (VA-09).

use std::fs::{self, DirBuilder, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The database.
pub(crate) const DATABASE: &str = "sallyport.db";

/// What SQLite makes beside it.
const COMPANIONS: [&str; 2] = ["sallyport.db-wal", "sallyport.db-shm"];

/// Why a data directory is not used. Each text holds the mend.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// Others can enter the directory, or read or change a file in it.
    #[error("{path} is open to others (mode {mode:04o}): run `chmod {mend:o} {path}`")]
    LooseMode {
        /// The directory or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits that it should have.
        mend: u32,
    },
    /// Somebody else owns it.
    #[error(
        "{path} belongs to user {owner}, this process is user {user}: run as the owner, or `chown -R {user} {path}`"
    )]
    Owner {
        /// The directory or file.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// A symbolic link, where whoever may change the link decides what is written.
    #[error(
        "{path} is a symbolic link: name the real directory with `--data-dir`, or put the file itself there"
    )]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// Neither a directory where one belongs nor a file where one belongs.
    #[error("{path} is not a {wanted}: move it away, or use another data directory")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Makes the data directory (0700) and the database file (0600), or checks those that are there.
pub(crate) fn prepare(directory: &Path) -> Result<(), DirectoryError> {
    match look(directory)? {
        Some(found) => check(directory, &found, Kind::Directory)?,
        None => make_directory(directory)?,
    }
    let database = directory.join(DATABASE);
    // SQLite gives its companions the mode of the database, so this is the one place that decides it.
    if !check_file(&database)? {
        make_file(&database)?;
    }
    for name in COMPANIONS {
        check_file(&directory.join(name))?;
    }
    Ok(())
}

/// Checks a file of the data directory; says whether it is there.
pub(crate) fn check_file(path: &Path) -> Result<bool, DirectoryError> {
    match look(path)? {
        Some(found) => check(path, &found, Kind::File).map(|()| true),
        None => Ok(false),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Directory,
    File,
}

fn look(path: &Path) -> Result<Option<Metadata>, DirectoryError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DirectoryError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn check(path: &Path, found: &Metadata, kind: Kind) -> Result<(), DirectoryError> {
    let (right, wanted, mend) = match kind {
        Kind::Directory => (found.is_dir(), "directory", 0o700),
        Kind::File => (found.is_file(), "regular file", 0o600),
    };
    let path = || path.to_owned();
    if found.is_symlink() {
        return Err(DirectoryError::Symlink { path: path() });
    }
    if !right {
        return Err(DirectoryError::Kind { path: path(), wanted });
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(DirectoryError::Owner {
            path: path(),
            owner: found.uid(),
            user,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(DirectoryError::LooseMode {
            path: path(),
            mode,
            mend,
        });
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), DirectoryError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    // The mode given above is reduced by the umask; this one is not.
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|source| DirectoryError::Io {
            path: path.to_owned(),
            source,
        })
}

fn make_file(path: &Path) -> Result<(), DirectoryError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made.and_then(|file| file.set_permissions(Permissions::from_mode(0o600))) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_file(path).map(drop),
        Err(source) => Err(DirectoryError::Io {
            path: path.to_owned(),
            source,
        }),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn va_09_what_is_made_is_ours_alone() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("deep/data");
        prepare(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join(DATABASE)), 0o600);
        prepare(&data).unwrap();
    }

    #[test]
    fn va_09_loose_modes_are_refused_with_the_mend() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        prepare(&data).unwrap();
        for loose in [0o750, 0o705, 0o777, 0o1770] {
            fs::set_permissions(&data, Permissions::from_mode(loose)).unwrap();
            let text = prepare(&data).unwrap_err().to_string();
            assert!(text.contains(&format!("chmod 700 {}", data.display())), "{text}");
        }
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        for name in [DATABASE, "sallyport.db-wal"] {
            let file = data.join(name);
            fs::write(&file, b"").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
            let text = prepare(&data).unwrap_err().to_string();
            assert!(text.contains(&format!("chmod 600 {}", file.display())), "{text}");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
        prepare(&data).unwrap();
    }

    #[test]
    fn va_09_links_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        prepare(&data).unwrap();
        let link = root.path().join("link");
        symlink(&data, &link).unwrap();
        assert!(matches!(prepare(&link), Err(DirectoryError::Symlink { .. })));
        let elsewhere = root.path().join("elsewhere");
        fs::rename(data.join(DATABASE), &elsewhere).unwrap();
        symlink(&elsewhere, data.join(DATABASE)).unwrap();
        assert!(matches!(prepare(&data), Err(DirectoryError::Symlink { .. })));
        fs::remove_file(data.join(DATABASE)).unwrap();
        fs::create_dir(data.join(DATABASE)).unwrap();
        assert!(matches!(prepare(&data), Err(DirectoryError::Kind { .. })));
        assert!(matches!(prepare(&elsewhere), Err(DirectoryError::Kind { .. })));
    }
}
