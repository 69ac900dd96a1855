//! The generic cell rate algorithm over many keys: how often something may happen, with the time as an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use sallyport_core::Timestamp;

/// How often: one each `interval`, and up to `burst` at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// The time in which one use comes back.
    pub interval: Duration,
    /// How many uses may come at once after a rest; at least 1.
    pub burst: u32,
}

impl Rate {
    /// `count` in a minute, `burst` at once. A count of zero counts as one.
    #[must_use]
    pub fn per_minute(count: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(60) / count.max(1),
            burst: burst.max(1),
        }
    }

    fn slack(self) -> Duration {
        self.interval.saturating_mul(self.burst.saturating_sub(1))
    }
}

/// The next use is allowed after this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait(pub Duration);

impl Wait {
    /// Whole seconds, rounded up, at least one: the value of `Retry-After` (RFC 9110 §10.2.3).
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

/// Counts uses per key. Memory is bounded: at `capacity` keys the one that owes least is forgotten, so that nobody can
/// wash off a debt by bringing many new keys.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    capacity: usize,
    /// Per key the time at which it would be at rest again (the theoretical arrival time).
    rest: HashMap<K, Timestamp>,
}

impl<K: Eq + Hash + Clone> Limiter<K> {
    /// A limiter with no uses yet.
    #[must_use]
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self {
            rate,
            capacity: capacity.max(1),
            rest: HashMap::new(),
        }
    }

    /// Whether a use would be allowed now, without making it.
    ///
    /// # Errors
    /// [`Wait`] says how long not.
    pub fn check(&self, key: &K, now: Timestamp) -> Result<(), Wait> {
        let ahead = self.rest.get(key).map_or(Duration::ZERO, |rest| rest.since(now));
        let over = ahead.saturating_sub(self.rate.slack());
        if over.is_zero() { Ok(()) } else { Err(Wait(over)) }
    }

    /// Makes a use. A refused one costs nothing, so that whoever keeps knocking gets in when the time has come.
    ///
    /// # Errors
    /// [`Wait`] says how long the next one is refused.
    pub fn take(&mut self, key: &K, now: Timestamp) -> Result<(), Wait> {
        self.check(key, now)?;
        let rest = self
            .rest
            .get(key)
            .copied()
            .unwrap_or(now)
            .max(now)
            .plus(self.rate.interval);
        self.make_room(key, now);
        self.rest.insert(key.clone(), rest);
        Ok(())
    }

    /// Forgets what a key has used.
    pub fn forget(&mut self, key: &K) {
        self.rest.remove(key);
    }

    /// Gives one use back.
    pub fn give_back(&mut self, key: &K) {
        if let Some(rest) = self.rest.get_mut(key) {
            *rest = rest.minus(self.rate.interval);
        }
    }

    fn make_room(&mut self, key: &K, now: Timestamp) {
        if self.rest.len() < self.capacity || self.rest.contains_key(key) {
            return;
        }
        self.rest.retain(|_, rest| *rest > now);
        if self.rest.len() >= self.capacity {
            let least = self
                .rest
                .iter()
                .min_by_key(|(_, rest)| **rest)
                .map(|(key, _)| key.clone());
            if let Some(least) = least {
                self.rest.remove(&least);
            }
        }
    }
}

/// The key of a peer: an IPv4 address, or the /64 network that one IPv6 subscriber has at least.
#[must_use]
pub fn peer_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000_000);

    fn at(millis: u64) -> Timestamp {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn dc_01_a_burst_and_then_the_rate() {
        let mut limiter = Limiter::new(Rate::per_minute(10, 20), 100);
        for n in 0..20 {
            assert_eq!(limiter.take(&"peer", START), Ok(()), "{n}");
        }
        assert_eq!(limiter.take(&"peer", START), Err(Wait(Duration::from_secs(6))));
        assert_eq!(limiter.take(&"other", START), Ok(()));
        assert_eq!(
            limiter.take(&"peer", at(5_999)),
            Err(Wait(Duration::from_millis(1)))
        );
        assert_eq!(limiter.take(&"peer", at(6_000)), Ok(()));
        assert!(limiter.take(&"peer", at(6_001)).is_err());
        // After a rest the whole burst is there again, and not more.
        let rested = at(10_000_000);
        assert_eq!(
            (0..25).filter(|_| limiter.take(&"peer", rested).is_ok()).count(),
            20
        );
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_jump() {
        let mut limiter = Limiter::new(Rate::per_minute(60, 1), 10);
        assert_eq!(limiter.take(&1, at(60_000)), Ok(()));
        assert_eq!(limiter.take(&1, START).unwrap_err().seconds(), 61);
    }

    #[test]
    fn memory_is_bounded_and_debts_are_kept() {
        let mut limiter = Limiter::new(Rate::per_minute(1, 2), 3);
        for _ in 0..2 {
            limiter.take(&0, START).unwrap();
        }
        for newcomer in 1..1000 {
            limiter.take(&newcomer, START).unwrap();
        }
        assert!(limiter.rest.len() <= 3);
        assert!(limiter.check(&0, START).is_err());
    }

    #[test]
    fn giving_back_and_forgetting() {
        let mut limiter = Limiter::new(Rate::per_minute(1, 1), 3);
        limiter.take(&0, START).unwrap();
        assert!(limiter.check(&0, START).is_err());
        limiter.give_back(&0);
        limiter.take(&0, START).unwrap();
        limiter.forget(&0);
        assert!(limiter.check(&0, START).is_ok());
        assert_eq!(Wait(Duration::from_millis(1)).seconds(), 1);
        assert_eq!(Wait(Duration::from_millis(1001)).seconds(), 2);
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let key = |text: &str| peer_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
