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
