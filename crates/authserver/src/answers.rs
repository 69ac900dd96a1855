//! Consent pages that have been answered: pressing the button ten times makes one code (CO-09).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sallyport_core::Timestamp;
use sallyport_oauth::consent::MAX_AGE;
use tokio::sync::OnceCell;

/// The most answers that are kept. Older ones go first; what is lost is only the comfort of a second press.
const CAPACITY: usize = 10_000;

/// Where the first answer led to; empty while it is being given.
type Answer = Arc<OnceCell<String>>;

#[derive(Default)]
pub(crate) struct Answered(Mutex<HashMap<String, (Timestamp, Answer)>>);

impl Answered {
    /// The answer of the page with this nonce, to be filled in by whoever comes first. `None` if it was given longer
    /// than `repeat` ago: the code that it made is over.
    pub(crate) fn of(&self, nonce: &str, now: Timestamp, repeat: Duration) -> Option<Answer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((first, answer)) = known.get(nonce) {
            let open = now.since(*first) < repeat || !answer.initialized();
            return open.then(|| Arc::clone(answer));
        }
        known.retain(|_, (first, _)| now.since(*first) <= MAX_AGE);
        if known.len() >= CAPACITY {
            let oldest = known
                .iter()
                .min_by_key(|(_, (first, _))| *first)
                .map(|(nonce, _)| nonce.clone());
            oldest.and_then(|nonce| known.remove(&nonce));
        }
        let answer = Answer::default();
        known.insert(nonce.to_owned(), (now, Arc::clone(&answer)));
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn co_09_the_first_answer_counts_and_then_none() {
        let answered = Answered::default();
        let give = async |text: &str, after: u64| {
            let answer = answered.of("n", NOW.plus(Duration::from_secs(after)), MINUTE)?;
            Some(answer.get_or_init(|| async { text.to_owned() }).await.clone())
        };
        assert_eq!(give("first", 0).await.as_deref(), Some("first"));
        assert_eq!(give("second", 59).await.as_deref(), Some("first"));
        assert_eq!(give("third", 60).await, None);
        assert!(answered.of("other", NOW, MINUTE).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let answered = Answered::default();
        for n in 0..CAPACITY + 10 {
            answered.of(&n.to_string(), NOW, MINUTE);
        }
        assert_eq!(answered.0.lock().unwrap().len(), CAPACITY);
        answered.of("later", NOW.plus(MAX_AGE + MINUTE), MINUTE);
        assert_eq!(answered.0.lock().unwrap().len(), 1);
    }
}
