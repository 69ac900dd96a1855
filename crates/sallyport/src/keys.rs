//! The signing keys: made at the first start, kept sealed, published and rotated as a ring.

use std::sync::Arc;

use sallyport_core::capability::{OpenSecret as _, SealSecret as _};
use sallyport_store::StoredKey;
use sallyport_vault::signing::{Signer, SigningKey};

use crate::base::{Base, StartError};

/// What signs and what is published.
pub struct Ring {
    /// Signs access tokens as the issuer.
    pub signer: Arc<Signer>,
}

/// The ring of the store, with a first key made where there is none.
///
/// # Errors
/// [`StartError::Sealed`] if a key was sealed with another master key.
pub async fn ring(base: &Base, issuer: &str) -> Result<Ring, StartError> {
    let (active, retiring) = load(base).await?;
    Ok(Ring {
        signer: Arc::new(Signer::new(issuer, active, retiring)?),
    })
}

/// The key that signs and those that still verify.
///
/// # Errors
/// [`StartError::Sealed`] if a key was sealed with another master key.
pub async fn load(base: &Base) -> Result<(SigningKey, Vec<SigningKey>), StartError> {
    let mut stored = base.store.signing_keys().await?;
    if !stored.iter().any(|key| key.retired.is_none()) {
        make_first(base).await?;
        stored = base.store.signing_keys().await?;
    }
    let (mut active, mut retiring) = (None, Vec::new());
    for key in &stored {
        let opened = open(base, key)?;
        match (key.retired, &active) {
            (None, None) => active = Some(opened),
            _ => retiring.push(opened),
        }
    }
    let active = active.ok_or_else(|| StartError::Other("there is no signing key in force".to_owned()))?;
    Ok((active, retiring))
}

async fn make_first(base: &Base) -> Result<(), StartError> {
    let key = SigningKey::generate(base.clock.now())?;
    let stored = StoredKey {
        kid: key.kid().to_owned(),
        sealed: base.vault.seal_secret(&record(key.kid()), key.pkcs8().expose()),
        created: key.created(),
        retired: None,
    };
    // Another process may have been first; then its key is read.
    base.store.insert_first_signing_key(&stored).await?;
    Ok(())
}

fn open(base: &Base, stored: &StoredKey) -> Result<SigningKey, StartError> {
    let sealed = |_| StartError::Sealed("the signing key".to_owned());
    let plain = base
        .vault
        .open_secret(&record(&stored.kid), &stored.sealed)
        .map_err(sealed)?;
    Ok(SigningKey::from_pkcs8(plain, stored.created)?)
}

/// What a sealed key is bound to.
fn record(kid: &str) -> String {
    format!("signing_keys/{kid}/sealed")
}
