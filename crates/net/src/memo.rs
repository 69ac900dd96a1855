//! What those who serve a connection have made of a head that comes again.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that was made.
type Made = Arc<dyn Any + Send + Sync>;

/// Room for what was made of a request's head, one thing of each type. The next request of the connection finds it there if
/// its head is the same to the last byte. It ends with the connection, or with another head.
///
/// Whoever keeps something that depends on more than the head has to see, each time, whether that is still as it was.
#[derive(Clone, Default)]
pub struct Memo(Arc<Mutex<Vec<Made>>>);

impl Memo {
    /// What was kept of this type.
    #[must_use]
    pub fn recall<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let kept = self.kept();
        let one = kept.iter().find(|one| (***one).is::<T>())?;
        Arc::clone(one).downcast().ok()
    }

    /// Keeps this instead of what was kept of the same type.
    pub fn keep<T: Any + Send + Sync>(&self, made: Arc<T>) {
        let mut kept = self.kept();
        kept.retain(|one| !(**one).is::<T>());
        kept.push(made);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_each_type() {
        let memo = Memo::default();
        assert!(memo.recall::<u8>().is_none());
        memo.keep(Arc::new(1_u8));
        memo.clone().keep(Arc::new("a"));
        memo.keep(Arc::new(2_u8));
        assert_eq!(memo.recall::<u8>().as_deref(), Some(&2));
        assert_eq!(memo.recall::<&str>().as_deref(), Some(&"a"));
        assert!(memo.recall::<u16>().is_none());
    }
}
