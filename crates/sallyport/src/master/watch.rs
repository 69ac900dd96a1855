//! How a running gateway learns of other master keys: its key file is looked at four times a second.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use sallyport_core::Timestamp;
use sallyport_vault::source::{MasterKeySource, load_existing};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::base::{Base, StartError};

/// An eighth of the time that `vault rotate` gives to running gateways.
const LOOK: Duration = Duration::from_millis(250);

/// What changes when a file is written or replaced: device, inode, length, and the time of the change with its fraction.
type Print = (u64, u64, u64, i64, i64);

/// Runs until the gateway stops.
pub async fn watch(base: Base, stop: CancellationToken) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // It may have changed since the start.
    let (mut seen, mut ends) = (None, Timestamp::EPOCH);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let print = print(&base.keys);
        if seen == Some(print) && base.clock.now() < ends {
            continue;
        }
        match refresh(&base).await {
            Ok(next) => {
                (seen, ends) = (Some(print), next);
                failing = false;
            }
            // Tried again at once, but four lines a second would bury everything else.
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::error!(%error, "the master keys cannot be read anew; the gateway goes on with those that it has");
            }
            Err(_) => {}
        }
    }
}

/// Takes over the keys as they are now. When they are to be looked at again, because what is left of one ends.
async fn refresh(base: &Base) -> Result<Timestamp, StartError> {
    let source = base.keys.clone();
    let loaded = tokio::task::spawn_blocking(move || load_existing(&source)).await;
    let keys = loaded.map_err(|error| StartError::Other(error.to_string()))??;
    let keys = keys.ok_or_else(|| StartError::Other("the key file is not there any more".to_owned()))?;
    let now = base.clock.now();
    let ring = super::ring(&base.store, &keys, now).await?;
    let before = base.vault.ring().active();
    if ring.active() != before {
        tracing::info!(key = %ring.active(), %before, "another master key seals");
    }
    base.vault.replace(ring);
    let former = base.store.former_keys(now).await?;
    let ends = former.into_iter().map(|key| key.until).min();
    Ok(ends.unwrap_or(Timestamp::from_millis(i64::MAX)))
}

fn print(source: &MasterKeySource) -> Option<Print> {
    let MasterKeySource::File(path) = source else {
        return None;
    };
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.size(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}
