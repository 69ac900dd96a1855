//! Durations counted in buckets that are at most 1.6 % wide.

use std::time::Duration;

/// Bits of precision: each power of two is cut into 64 buckets.
const BITS: u32 = 6;

/// A histogram of durations in microseconds, of fixed size.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; (64 - BITS as usize) << BITS],
            total: 0,
        }
    }
}

/// The bucket of `value`: exact below 64, then its leading bits.
fn bucket(value: u64) -> usize {
    let magnitude = value.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    let leading = value >> magnitude;
    usize::try_from((u64::from(magnitude) << BITS) + leading).unwrap_or(usize::MAX)
}

/// The least value of `bucket`.
fn floor(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let magnitude = (bucket >> BITS).saturating_sub(1);
    (bucket - (magnitude << BITS)) << magnitude
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.buckets.get_mut(bucket(micros)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Adds what `other` counted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count += more;
        }
        self.total += other.total;
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration in microseconds that `permille` of 1000 do not exceed; 0 when nothing was counted.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> u64 {
        let wanted = (self.total * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return floor(index);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for value in (0..2_000_000_u64).step_by(37) {
            let bucket = bucket(value);
            assert!(bucket >= last, "{value}");
            last = bucket;
            let floor = floor(bucket);
            assert!(
                floor <= value && value - floor <= value / 50,
                "{value} is counted as {floor}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_straight_line() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), 0);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert!((490..=500).contains(&histogram.quantile(500)));
        assert!((970..=990).contains(&histogram.quantile(990)));
        assert_eq!(histogram.count(), 1000);
    }
}
