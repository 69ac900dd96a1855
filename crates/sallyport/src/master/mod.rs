//! The master key: which one seals, how the store follows when it changes, and how a running gateway does.
//!
//! Records of the store are sealed under the master key. What cannot be sealed anew is not under it: the root of the keyed
//! hashes is a secret of its own, sealed like any record; and of a key that is given up, what opens the states that clients
//! carry is kept, sealed under its successor, until the last of these has ended.

pub mod rotate;
pub mod watch;

use std::sync::Arc;

use sallyport_core::{Random, Timestamp};
use sallyport_store::{KeyId as StoredKeyId, Origin, Store, place};
use sallyport_vault::source::{MasterKeySource, load_existing, load_or_create};
use sallyport_vault::{FormerKey, HashRoot, KeyId, MasterKeys, Ring, Vault};

use crate::base::StartError;

/// The vault of a store. Makes a key file where there is none and nothing is sealed yet, and keeps a root of the hashes.
///
/// # Errors
/// [`StartError::OtherKey`] for a key that does not open the store, [`StartError::Key`] for one that is none.
pub async fn open(
    store: &Store,
    source: &MasterKeySource,
    now: Timestamp,
    random: &Arc<dyn Random>,
) -> Result<Vault, StartError> {
    let found = sealed_under(store).await?;
    let keys = match (load_existing(source)?, found) {
        (Some(keys), _) => keys,
        // A new one would open nothing.
        (None, Some(sealed)) => return Err(missing(sealed, source)),
        (None, None) => load_or_create(source, &**random)?,
    };
    let ring = Ring::new(&keys)?;
    if store.vault_root().await?.is_none() {
        let root = first_root(store, &keys, &ring, &**random).await?;
        let sealed = ring.seal_secret(&**random, place::ROOT, root.expose());
        store.put_vault_root(&sealed).await?;
    }
    let root = root(store, &ring).await?;
    store.admit_key(ring.active().0, &ids(&ring)).await?;
    Ok(Vault::of(
        with_former(store, ring, now).await?,
        &root,
        Arc::clone(random),
    ))
}

/// The vault of a store that has been in use; changes nothing.
///
/// # Errors
/// As for [`open`].
pub async fn open_existing(
    store: &Store,
    source: &MasterKeySource,
    now: Timestamp,
    random: &Arc<dyn Random>,
) -> Result<Vault, StartError> {
    let none = || StartError::Other("there is no master key, or no store that was opened with it".to_owned());
    let ring = Ring::new(&load_existing(source)?.ok_or_else(none)?)?;
    store.vault_root().await?.ok_or_else(none)?;
    let root = root(store, &ring).await?;
    Ok(Vault::of(
        with_former(store, ring, now).await?,
        &root,
        Arc::clone(random),
    ))
}

/// The keys that the source has now, as a ring for a vault that is in use.
///
/// # Errors
/// [`StartError`]; then the vault is to go on with the ring that it has.
pub async fn ring(store: &Store, keys: &MasterKeys, now: Timestamp) -> Result<Ring, StartError> {
    let ring = Ring::new(keys)?;
    root(store, &ring).await?;
    store.admit_key(ring.active().0, &ids(&ring)).await?;
    with_former(store, ring, now).await
}

fn ids(ring: &Ring) -> Vec<StoredKeyId> {
    ring.ids().into_iter().map(|id| id.0).collect()
}

/// The key that the store is sealed under, if anything is.
async fn sealed_under(store: &Store) -> Result<Option<KeyId>, StartError> {
    if let Some(root) = store.vault_root().await? {
        return Ok(Ring::named(&root));
    }
    Ok(match store.vault_origin().await? {
        Origin::Sealed(id) => Some(KeyId(id)),
        Origin::New | Origin::Used => None,
    })
}

/// The root of a store that has none: drawn from the key that its hashes were made under; a new one for a new store.
async fn first_root(
    store: &Store,
    keys: &MasterKeys,
    ring: &Ring,
    random: &dyn Random,
) -> Result<HashRoot, StartError> {
    let origin = match store.vault_origin().await? {
        Origin::New => return Ok(HashRoot::make(random)),
        Origin::Used => keys.active.id()?,
        Origin::Sealed(id) => KeyId(id),
    };
    for key in keys.all() {
        if key.id()? == origin {
            return Ok(HashRoot::drawn(key)?);
        }
    }
    Err(other(origin, ring))
}

async fn root(store: &Store, ring: &Ring) -> Result<HashRoot, StartError> {
    let sealed = store.vault_root().await?.unwrap_or_default();
    let opened = ring.open_secret(place::ROOT, &sealed).map_err(|_| {
        let named = Ring::named(&sealed).filter(|named| !ring.ids().contains(named));
        named.map_or_else(
            || {
                StartError::Other(
                    "the root of the hashes in the store was changed: restore the store".to_owned(),
                )
            },
            |named| other(named, ring),
        )
    })?;
    Ok(HashRoot::read(opened.expose())?)
}

async fn with_former(store: &Store, ring: Ring, now: Timestamp) -> Result<Ring, StartError> {
    let mut former = Vec::new();
    let known = ids(&ring);
    for stored in store.former_keys(now).await? {
        if known.contains(&stored.id) {
            continue;
        }
        match ring.open_secret(&place::former_key(stored.id), &stored.sealed) {
            Ok(state) => former.push(FormerKey {
                id: KeyId(stored.id),
                state,
            }),
            Err(_) => {
                tracing::error!(key = %KeyId(stored.id), "what is left of a former master key does not open");
            }
        }
    }
    Ok(ring.with_former(&former)?)
}

fn other(sealed: KeyId, ring: &Ring) -> StartError {
    let given: Vec<_> = ring.ids().iter().map(ToString::to_string).collect();
    StartError::OtherKey {
        sealed,
        given: format!("was given {}", given.join(", ")),
    }
}

fn missing(sealed: KeyId, source: &MasterKeySource) -> StartError {
    let given = match source {
        MasterKeySource::File(path) => format!("there is no {}", path.display()),
        MasterKeySource::Value { .. } => "no key was given".to_owned(),
    };
    StartError::OtherKey { sealed, given }
}
