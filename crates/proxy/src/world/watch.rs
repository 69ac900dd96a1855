//! Keeping the world up to date, telling of changes, and waiting for servers that are just starting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Endpoint;
use crate::Proxy;
use crate::sync::lock;
use crate::upstream::Fleet;

/// How long changes are gathered before clients are told: several servers that start together are one change.
const COALESCE: Duration = Duration::from_millis(100);

/// Follows the fleet until the proxy or the fleet goes away.
pub(crate) async fn watch(proxy: std::sync::Weak<Proxy>, mut fleet: watch::Receiver<Arc<Fleet>>) {
    while fleet.changed().await.is_ok() {
        fleet.mark_unchanged();
        {
            let Some(proxy) = proxy.upgrade() else { return };
            rebuild(&proxy);
        }
        sleep(COALESCE).await;
    }
}

/// Makes the world anew and tells whom it concerns.
pub(crate) fn rebuild(proxy: &Proxy) {
    let mut builder = lock(&proxy.builder);
    // Under the lock: of two rebuilds the later one knows what the earlier one knew of the servers, and more.
    let fleet = proxy.upstreams.fleet();
    let earlier = proxy.world.load_full();
    let built = builder.build(&fleet, Some(&earlier), proxy.books.clock.now());
    proxy.world.store(built.world);
    // Still under the lock: two rebuilds tell of their changes in their order.
    for (endpoint, changes) in built.changes {
        proxy.hub.changed(&endpoint, changes);
        proxy.sessions.each(|session| {
            if **session.endpoint() == *endpoint {
                changes
                    .messages()
                    .for_each(|message| session.ears.outbox.send(message));
            }
        });
    }
    drop(builder);
    proxy.rebuilt.send_modify(|count| *count = count.wrapping_add(1));
}

/// The endpoint as it is once its servers have introduced themselves, or their time for that is over (P-110).
pub(crate) async fn settle(proxy: &Proxy, endpoint: &Arc<Endpoint>) -> Arc<Endpoint> {
    let mut current = Arc::clone(endpoint);
    let mut rebuilt = proxy.rebuilt.subscribe();
    loop {
        rebuilt.mark_unchanged();
        match proxy.world.load().endpoint(&current.key) {
            Some(endpoint) => current = Arc::clone(endpoint),
            None => return current,
        }
        let Some(until) = current.settles else {
            return current;
        };
        let left = until.since(proxy.books.clock.now());
        if left.is_zero() {
            return current;
        }
        tokio::select! {
            changed = rebuilt.changed() => {
                if changed.is_err() {
                    return current;
                }
            }
            () = sleep(left) => return current,
        }
    }
}
