//! How many connections there may be, in all and of one peer (HT-13).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use crate::layers::network;

/// Counts connections. What is counted is given back when its [`Seat`] is dropped.
pub(super) struct Caps {
    total: usize,
    per_peer: usize,
    unbounded: Vec<IpNet>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    peers: HashMap<IpAddr, usize>,
}

/// The right to one connection.
pub(super) struct Seat {
    caps: Arc<Caps>,
    /// `None` for peers that are not counted on their own.
    peer: Option<IpAddr>,
}

impl Caps {
    pub(super) fn new(total: usize, per_peer: usize, unbounded: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_peer,
            unbounded,
            taken: Mutex::default(),
        })
    }

    /// A seat for the peer, if there is one.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        let counted = (!self.unbounded.iter().any(|net| net.contains(&peer))).then(|| network(peer));
        let mut taken = self.lock();
        if taken.total >= self.total {
            return None;
        }
        if let Some(key) = counted {
            let count = taken.peers.entry(key).or_default();
            if *count >= self.per_peer {
                return None;
            }
            *count += 1;
        }
        taken.total += 1;
        Some(Seat {
            caps: Arc::clone(self),
            peer: counted,
        })
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.caps.lock();
        taken.total = taken.total.saturating_sub(1);
        let Some(key) = self.peer else { return };
        if let Some(count) = taken.peers.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.peers.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ht_13_caps_hold_at_the_limit_and_give_back() {
        let caps = Caps::new(3, 2, vec!["10.0.0.0/8".parse().unwrap()]);
        let first = caps.take(ip("192.0.2.1")).unwrap();
        let _second = caps.take(ip("::ffff:192.0.2.1")).unwrap();
        assert!(caps.take(ip("192.0.2.1")).is_none(), "a third of one peer");
        let _other = caps.take(ip("192.0.2.2")).unwrap();
        assert!(caps.take(ip("192.0.2.3")).is_none(), "a fourth in all");
        drop(first);
        let _again = caps.take(ip("192.0.2.1")).unwrap();
        assert_eq!(caps.count(), 3);
    }

    #[test]
    fn rl_02_one_ipv6_network_is_one_peer_and_proxies_are_not_counted() {
        let caps = Caps::new(100, 1, vec!["10.0.0.0/8".parse().unwrap()]);
        let _one = caps.take(ip("2001:db8::1")).unwrap();
        assert!(caps.take(ip("2001:db8::2")).is_none());
        let _two = caps.take(ip("2001:db8:0:1::1")).unwrap();
        let proxies: Vec<_> = (0..5).map(|_| caps.take(ip("10.1.2.3")).unwrap()).collect();
        drop(proxies);
        assert_eq!(caps.count(), 2);
        assert_eq!(caps.lock().peers.len(), 2);
    }
}
