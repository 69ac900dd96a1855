//! Replacing the master key.
//!
//! The steps, each of which is on the disk before the next begins, so that whoever goes on after a crash sees where it was:
//!
//! 1. the new key stands in the key file as `next`, and may seal; running gateways learn to open with it;
//! 2. it stands first, the old one as `retired`; running gateways seal with it;
//! 3. what opens the states that clients carry is kept of the old key;
//! 4. every record is sealed anew, some at a time, in the place of what was read and of nothing else;
//! 5. the old key loses the leave to seal, in the transaction that finds nothing under it;
//! 6. it is taken out of the key file.
//!
//! Where the keys are given as values, 1, 2 and 6 are the operator's.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sallyport_core::capability::{OpenSecret as _, SealSecret as _};
use sallyport_store::{Resealed, Sealed, SealedRecord, place};
use sallyport_vault::source::{self, MasterKeySource, load_existing};
use sallyport_vault::{KeyError, KeyId, MasterKey, MasterKeys};

use crate::base::{Base, StartError};

/// How long running gateways are given to learn of a key: they look four times a second.
pub const KNOWN: Duration = Duration::from_secs(2);

/// How many records are sealed anew at a time: the store's one writer is held for a few milliseconds.
const BATCH: u32 = 250;

/// How often the store is gone through. What is written meanwhile by whoever has not learned of the new key takes a second
/// time; more than this is a gateway that never learns.
const PASSES: u32 = 5;

/// The least time for which states are opened that were sealed under a former key: forms, cursors and parked calls.
const STATES: Duration = Duration::from_secs(86_400);

/// How many records that do not open are named.
const NAMED: usize = 20;

/// Where a rotation is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The new key is in the key file, as the next one.
    Announced,
    /// It may seal.
    Admitted,
    /// It seals.
    Promoted,
    /// It sealed already when the command began.
    Resumed,
    /// What opens states is kept of this key.
    Kept(KeyId),
    /// So many records have been sealed anew.
    Resealed(u64),
    /// Nothing is sealed under this key, and nothing can be.
    Dropped(KeyId),
    /// It is out of the key file.
    Removed,
}

impl Step {
    /// How long running gateways need to follow.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Admitted | Self::Promoted | Self::Resumed => Some(KNOWN),
            _ => None,
        }
    }
}

/// How a rotation went.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The key that seals.
    pub active: KeyId,
    /// Whether it sealed already when the command began.
    pub resumed: bool,
    /// How many records were sealed anew.
    pub resealed: u64,
    /// Each retired key, and how many records are still under it; without any it was dropped.
    pub retired: Vec<(KeyId, u64)>,
    /// Records that do not open with any key: at most twenty are named.
    pub unreadable: Vec<String>,
    /// Whether the operator takes the dropped keys away.
    pub by_hand: bool,
}

impl Rotated {
    /// How many records are not under the key that seals, as far as their keys are known.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.retired.iter().map(|(_, left)| left).sum()
    }
}

/// Rotates, or goes on where another run has stopped. `reached` is told of each step when it is done, and may wait or stop
/// there.
///
/// # Errors
/// [`StartError`]; whatever was done until then holds, and running it again goes on.
pub async fn rotate(
    base: &Base,
    mut reached: impl AsyncFnMut(&Step) -> Result<(), StartError>,
) -> Result<Rotated, StartError> {
    let _lock = lock(base.store.directory())?;
    let (keys, resumed) = change(base, &mut reached).await?;
    base.vault
        .replace(super::ring(&base.store, &keys, base.clock.now()).await?);
    let mut retired = Vec::new();
    for key in &keys.retired {
        let id = key.id()?;
        if keep_states(base, key).await? {
            reached(&Step::Kept(id)).await?;
        }
        retired.push((id, 0));
    }
    let (resealed, unreadable) = reseal(base, &mut reached).await?;
    for (id, left) in &mut retired {
        *left = base.store.drop_key(id.0).await?;
        if *left == 0 {
            reached(&Step::Dropped(*id)).await?;
        }
    }
    let rotated = Rotated {
        active: base.vault.ring().active(),
        resumed,
        resealed,
        by_hand: remove(base, &keys, &retired).await?,
        retired,
        unreadable,
    };
    reached(&Step::Removed).await?;
    Ok(rotated)
}

/// One at a time: two would each make a key.
fn lock(directory: &Path) -> Result<File, StartError> {
    let path = directory.join("vault.lock");
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    let file = file.map_err(StartError::io("open vault.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Other(
            "another `vault rotate` is at work on this store".to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(StartError::io("lock vault.lock")(error)),
    }
}

/// Steps 1 and 2, as far as they are still to be done. The keys, and whether nothing was.
async fn change(
    base: &Base,
    reached: &mut impl AsyncFnMut(&Step) -> Result<(), StartError>,
) -> Result<(MasterKeys, bool), StartError> {
    let none = || StartError::Other("there is no master key".to_owned());
    let mut keys = load_existing(&base.keys)?.ok_or_else(none)?;
    let MasterKeySource::File(path) = &base.keys else {
        if keys.retired.is_empty() {
            return Err(StartError::Other(BY_VALUE.to_owned()));
        }
        reached(&Step::Resumed).await?;
        return Ok((keys, true));
    };
    if keys.next.is_none() && !keys.retired.is_empty() {
        reached(&Step::Resumed).await?;
        return Ok((keys, true));
    }
    if keys.next.is_none() {
        let with_next = MasterKeys {
            next: Some(MasterKey::make(&*base.random)?),
            ..keys.clone()
        };
        write(path, &keys, &with_next)?;
        keys = with_next;
        reached(&Step::Announced).await?;
    }
    if let Some(next) = &keys.next {
        let known: Vec<_> = base.vault.ring().ids().iter().map(|id| id.0).collect();
        base.store.admit_key(next.id()?.0, &known).await?;
        reached(&Step::Admitted).await?;
    }
    let promoted = keys.promoted();
    write(path, &keys, &promoted)?;
    reached(&Step::Promoted).await?;
    Ok((promoted, false))
}

/// What is said where the command cannot make the key.
const BY_VALUE: &str = "the master key comes from SALLYPORT_MASTER_KEY: make a new one with `openssl rand -hex 32`, start \
     the gateway again with the new one there and the present one in SALLYPORT_MASTER_KEY_RETIRED, and run \
     `sallyport vault rotate` in the same environment";

fn write(path: &Path, known: &MasterKeys, keys: &MasterKeys) -> Result<(), StartError> {
    source::replace(path, known, keys).map_err(|error| match error {
        KeyError::Io { .. } => StartError::Other(format!(
            "{error}: the key file cannot be written here. Write it yourself: a new key of `openssl rand -hex 32` on its \
             first line and `retired` with the present key on its second; then run `sallyport vault rotate` again"
        )),
        other => other.into(),
    })
}

/// Step 3, for a key that has sealed here; whether it was one.
async fn keep_states(base: &Base, key: &MasterKey) -> Result<bool, StartError> {
    let id = key.id()?;
    if !base.store.key_may_seal(id.0).await? {
        return Ok(false);
    }
    let limits = &base.config.root.limits;
    let life = STATES.max(limits.session_absolute.0).max(limits.task_ttl.0);
    let sealed = base
        .vault
        .seal_secret(&place::former_key(id.0), key.state_keys()?.expose());
    let now = base.clock.now();
    base.store.keep_former_key(id.0, &sealed, (now, life)).await?;
    Ok(true)
}

/// Step 4: how many were sealed anew, and which do not open.
async fn reseal(
    base: &Base,
    reached: &mut impl AsyncFnMut(&Step) -> Result<(), StartError>,
) -> Result<(u64, Vec<String>), StartError> {
    let active = base.vault.ring().active();
    let (mut all, mut unreadable) = (0, Vec::new());
    for _ in 0..PASSES {
        let before = all;
        unreadable.clear();
        for place in Sealed::ALL {
            let mut row = String::new();
            loop {
                let records = base.store.sealed_otherwise(place, active.0, &row, BATCH).await?;
                let Some(last) = records.last() else { break };
                row.clone_from(&last.row);
                let values = anew(base, records, &mut unreadable);
                all += base.store.reseal(place, &values).await?;
                reached(&Step::Resealed(all)).await?;
            }
        }
        if all == before {
            break;
        }
    }
    Ok((all, unreadable))
}

/// The same values under the key that seals.
fn anew(base: &Base, records: Vec<SealedRecord>, unreadable: &mut Vec<String>) -> Vec<Resealed> {
    let mut values = Vec::with_capacity(records.len());
    for before in records {
        match base.vault.open_secret(&before.place, &before.sealed) {
            Ok(plain) => values.push(Resealed {
                sealed: base.vault.seal_secret(&before.place, plain.expose()),
                before,
            }),
            Err(_) if unreadable.len() < NAMED => unreadable.push(before.place),
            Err(_) => {}
        }
    }
    values
}

/// Step 6: whether it is left to the operator.
async fn remove(base: &Base, keys: &MasterKeys, retired: &[(KeyId, u64)]) -> Result<bool, StartError> {
    let MasterKeySource::File(path) = &base.keys else {
        return Ok(true);
    };
    let mut left = keys.clone();
    left.retired.clear();
    for (key, (_, under)) in keys.retired.iter().zip(retired) {
        if *under > 0 {
            left.retired.push(key.clone());
        }
    }
    if left.are(keys) {
        return Ok(false);
    }
    match source::replace(path, keys, &left) {
        Ok(()) => {
            base.vault
                .replace(super::ring(&base.store, &left, base.clock.now()).await?);
            Ok(false)
        }
        Err(KeyError::Io { .. }) => Ok(true),
        Err(other) => Err(other.into()),
    }
}
