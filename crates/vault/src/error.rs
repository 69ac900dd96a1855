//! Why a key cannot be used. No text here holds a byte of a key.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a key was refused or could not be read or made.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Neither 64 hex characters nor 43 base64url characters.
    #[error(
        "the master key must be 32 random bytes, written as 64 hex characters or 43 base64url characters: \
         `openssl rand -hex 32` makes one"
    )]
    Form,
    /// It has the right length, but nobody drew it at random.
    #[error(
        "the master key is a placeholder or a pattern, not random: `openssl rand -hex 32` makes a good one"
    )]
    Placeholder,
    /// A key that no longer seals, or does not seal yet, is wrong.
    #[error("key {number} of those that only open: {source}")]
    Other {
        /// Which of them, from 1.
        number: usize,
        /// What is wrong.
        source: Box<KeyError>,
    },
    /// A line of a key file is none.
    #[error(
        "line {line} of {path}: the first line is the master key; each further one is `retired KEY`, and one may be `next KEY`"
    )]
    Line {
        /// The key file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The file is longer than any key file.
    #[error("{path} is longer than {max} bytes: it holds the master key and at most {keys} others")]
    Long {
        /// The key file.
        path: PathBuf,
        /// The most that is read, in bytes.
        max: u64,
        /// The most keys besides the first.
        keys: usize,
    },
    /// One key stands there twice.
    #[error("the same master key is given twice: each key is new, current or retired, and only one of these")]
    Twice,
    /// More keys than are looked at.
    #[error(
        "more than {max} retired master keys: run `sallyport vault rotate`, and take away those that it names as dropped"
    )]
    TooMany {
        /// The most.
        max: usize,
    },
    /// Retired keys from the environment, but not the one that seals.
    #[error(
        "SALLYPORT_MASTER_KEY_RETIRED goes with SALLYPORT_MASTER_KEY; in a key file each retired key is a line `retired KEY`"
    )]
    RetiredAlone,
    /// The file changed while it was to be written.
    #[error("{path} was changed by somebody else meanwhile: run the command again")]
    Changed {
        /// The key file.
        path: PathBuf,
    },
    /// Others can read the file.
    #[error("{path} can be read or changed by others (mode {mode:04o}): run `chmod 600 {path}`")]
    LooseMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else owns the file and can change it.
    #[error("{path} belongs to user {owner}: run `chown {user} {path}`, or run the gateway as the owner")]
    Owner {
        /// The key file.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// A symbolic link, a directory or a device.
    #[error("{path} is not a regular file: give the file itself, not a link to it")]
    NotAFile {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file could not be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A signing key is not of the form that its algorithm has.
    #[error("the signing key is not a private key of its algorithm")]
    SigningKey,
    /// The cryptographic library refused an operation that has no reason to fail.
    #[error("the cryptographic library failed")]
    Library,
}
