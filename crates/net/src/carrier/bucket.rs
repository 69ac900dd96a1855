//! How many control frames a peer may send.

use tokio::time::Instant;

/// A bucket of tokens: full at first, one more each second.
#[derive(Debug)]
pub(crate) struct Bucket {
    size: u32,
    left: u32,
    /// Up to when tokens have been put in.
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(size: u32) -> Self {
        Self {
            size,
            left: size,
            filled: Instant::now(),
        }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        let seconds = self.filled.elapsed().as_secs();
        if seconds > 0 {
            self.filled += std::time::Duration::from_secs(seconds);
            let earned = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(self.size);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_one_more_each_second() {
        let mut bucket = Bucket::new(3);
        let taken = |bucket: &mut Bucket| (0..10).filter(|_| bucket.take()).count();
        assert_eq!(taken(&mut bucket), 3);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(taken(&mut bucket), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(&mut bucket), 1);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(&mut bucket), 3, "no more than its size");
    }
}
