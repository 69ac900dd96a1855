//! Where requests are drawn: what one waits for may be woken on another runtime than its connection's, which costs two
//! switches of threads that it would not cost there.

use std::cell::Cell;

use tokio::runtime::Id;

thread_local! {
    /// Where the request that is being polled on this thread is drawn.
    static DRAWN: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Says that the request as part of which this is called would cost less on that runtime. A connection whose requests are
/// all drawn to the same one moves there. Said outside of a request it is not heard.
pub fn draw(runtime: Id) {
    DRAWN.set(Some(runtime));
}

/// Polls a request; `drawn` is from then on where it was drawn meanwhile, if it was.
pub fn listen<T>(drawn: &mut Option<Id>, poll: impl FnOnce() -> T) -> T {
    // What was said outside of it is not about it.
    DRAWN.set(None);
    let polled = poll();
    if let Some(to) = DRAWN.take() {
        *drawn = Some(to);
    }
    polled
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;

    #[tokio::test]
    async fn only_what_is_said_meanwhile_is_heard_and_once() {
        let (here, mut drawn) = (Handle::current().id(), None);
        draw(here);
        assert_eq!(listen(&mut drawn, || 1), 1);
        assert!(drawn.is_none());
        listen(&mut drawn, || draw(here));
        assert_eq!(drawn.take(), Some(here));
        listen(&mut drawn, || ());
        assert!(drawn.is_none());
    }
}
