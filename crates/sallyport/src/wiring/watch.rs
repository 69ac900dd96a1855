//! What sets a change off: the file, SIGHUP, other processes' writes, and time. One task takes them one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::gateway::Source;
use super::live::Live;
use crate::base::load;
use crate::config::{Config, Problems, print};

/// Editors and deployments write in several steps: the file is read this long after the first.
const QUIET: Duration = Duration::from_millis(200);
/// How often it is looked whether something is to be done about the signing keys, or was approved.
const KEYS: Duration = Duration::from_secs(1);
/// How often what has ended is removed.
const SWEEP: Duration = Duration::from_secs(600);

/// Someone asks for a reload and waits for its outcome.
pub(super) type Ask = oneshot::Sender<Result<(), Problems>>;

/// Runs until the gateway stops.
pub(super) async fn watch(
    live: Arc<Live>,
    source: Option<Source>,
    mut asked: mpsc::Receiver<Ask>,
    stop: CancellationToken,
) {
    let mut changes = live.base.store.changes();
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut keys = interval(KEYS);
    keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (touched, mut file) = mpsc::channel(1);
    let _watcher = source
        .as_ref()
        .and_then(|source| watcher(source, touched.clone()));
    let mut last = live.config.load().print;
    // It may have changed between the start and now.
    let mut quiet = Some(Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = changes.changed() => live.refresh().await,
            _ = keys.tick() => {
                live.tend_keys().await;
                live.refresh_approved().await;
            }
            _ = sweep.tick() => live.sweep().await,
            Some(ask) = asked.recv() => {
                let Some(source) = &source else { continue };
                last = content(source);
                let outcome = live.reload(read(source).await).await;
                // Nobody may be waiting any more.
                let _ = ask.send(outcome);
            }
            Some(()) = file.recv() => quiet = quiet.or(Some(Instant::now() + QUIET)),
            () = at(quiet) => {
                quiet = None;
                let Some(source) = &source else { continue };
                let now = content(source);
                if now != last {
                    last = now;
                    // The log has said what is wrong.
                    let _ = live.reload(read(source).await).await;
                }
            }
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// An empty file is the middle of a write, never a wish for defaults (CF-03).
async fn read(source: &Source) -> Result<Config, Problems> {
    if bytes(source).is_some_and(|bytes| bytes.trim_ascii().is_empty()) {
        let name = source.location.file.as_deref().unwrap_or(Path::new(""));
        return Err(Problems::empty_file(&name.display().to_string()));
    }
    load(&source.location, &source.adjust).await
}

fn content(source: &Source) -> Option<u64> {
    bytes(source).map(|bytes| print(&bytes))
}

fn bytes(source: &Source) -> Option<Vec<u8>> {
    std::fs::read(source.location.file.as_ref()?).ok()
}

/// Watches the directory, because a file that is replaced is another file, and a mounted one is replaced by a link beside
/// it.
fn watcher(source: &Source, touched: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let file = source.location.file.as_ref()?;
    let directory: PathBuf = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = file.file_name()?.to_owned();
    // Mounted configuration is a link through `..data`, which is what changes then.
    let ours = move |path: &PathBuf| {
        path.file_name()
            .is_some_and(|n| n == name || n.as_encoded_bytes().starts_with(b".."))
    };
    let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too.
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(&ours)) {
            // A full channel says the same already.
            let _ = touched.try_send(());
        }
    });
    let watched = made.and_then(|mut watcher| {
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            tracing::warn!(%error, "changes of the configuration file are not noticed; send SIGHUP after a change");
        })
        .ok()
}
