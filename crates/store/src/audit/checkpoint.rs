//! The checkpoint: how far the chain had come, in a file apart from the database (AL-03).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use sallyport_core::capability::DeriveKeyed;
use serde::{Deserialize, Serialize};

use super::chain::Head;
use super::hex;
use crate::directory;

const FILE: &str = "audit.checkpoint";
const TEMPORARY: &str = "audit.checkpoint.new";
/// Held while the checkpoint is read and replaced: several processes write one trail.
const LOCK: &str = "audit.lock";
const LABEL: &str = "audit/checkpoint";
/// The file has less than 200 bytes.
const MAX_FILE: u64 = 4096;

/// What the chain had come to at some moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    /// How many records there were.
    pub(super) count: u64,
    /// The hash of the last one.
    #[serde(with = "hex")]
    pub(super) head: [u8; 32],
    #[serde(with = "hex")]
    mac: [u8; 32],
}

/// What a checkpoint file holds.
pub(super) enum Found {
    Nothing,
    Unreadable,
    Checkpoint(Checkpoint),
}

impl Checkpoint {
    pub(super) fn new(head: &Head, keys: &dyn DeriveKeyed) -> Self {
        Self {
            count: head.seq,
            head: head.hash,
            mac: mac(head.seq, &head.hash, keys),
        }
    }

    pub(super) fn is_authentic(&self, keys: &dyn DeriveKeyed) -> bool {
        self.mac == mac(self.count, &self.head, keys)
    }
}

fn mac(count: u64, head: &[u8; 32], keys: &dyn DeriveKeyed) -> [u8; 32] {
    keys.derive(LABEL, &[count.to_be_bytes().as_slice(), head].concat())
}

pub(super) fn read(directory: &Path) -> io::Result<Found> {
    let path = directory.join(FILE);
    if !directory::check_file(&path).map_err(io::Error::other)? {
        return Ok(Found::Nothing);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes).map_or(Found::Unreadable, Found::Checkpoint))
}

/// Moves the checkpoint on to `head`, if no other process has moved it further. Returns `false`, and changes nothing, if
/// what is there was not made with our key.
///
/// The new file is on the disk before it takes the old one's name: after a crash there is the one or the other.
pub(super) fn advance(directory: &Path, head: &Head, keys: &dyn DeriveKeyed) -> io::Result<bool> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(directory.join(LOCK))?;
    lock.lock()?;
    match read(directory)? {
        Found::Checkpoint(present) if !present.is_authentic(keys) => return Ok(false),
        Found::Checkpoint(present) if present.count >= head.seq => return Ok(true),
        Found::Unreadable => return Ok(false),
        Found::Checkpoint(_) | Found::Nothing => {}
    }
    let temporary = directory.join(TEMPORARY);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let mut text = serde_json::to_vec(&Checkpoint::new(head, keys))?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(FILE))?;
    File::open(directory)?.sync_all()?;
    Ok(true)
}
