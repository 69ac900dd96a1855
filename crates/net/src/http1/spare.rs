//! Buffers to read into that nobody uses just now, a few for each thread. A connection has one only while bytes wait in
//! it: silent ones need none, and what is read next comes into memory that the processor still has at hand.

use std::cell::RefCell;

use bytes::BytesMut;

/// How many a thread keeps: one is in use at a time, unless an answer waits for its rest.
const MOST: usize = 2;

thread_local! {
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer for at least `room` bytes. Its memory is used again once everything that was cut out of it is gone.
pub(super) fn take(room: usize) -> BytesMut {
    let free = FREE.try_with(|free| free.try_borrow_mut().ok()?.pop());
    let mut buffer = free.ok().flatten().unwrap_or_default();
    buffer.reserve(room);
    buffer
}

/// Gives a buffer back, without what is left in it.
pub(super) fn give(mut buffer: BytesMut) {
    buffer.clear();
    // A thread that ends keeps nothing.
    let _kept = FREE.try_with(|free| {
        if let Ok(mut free) = free.try_borrow_mut()
            && free.len() < MOST
        {
            free.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_any_of_it() {
        let mut buffer = take(1000);
        buffer.extend_from_slice(&[1; 1000]);
        let piece = buffer.split_to(1000).freeze();
        let place = piece.as_ptr();
        give(buffer);
        let other = take(1000);
        assert_ne!(other.as_ptr(), place, "the piece still has it");
        give(other);
        drop(piece);
        let (one, two) = (take(1000), take(1000));
        assert!(one.is_empty() && two.is_empty());
        give(one);
        give(two);
        give(BytesMut::new());
        FREE.with(|free| assert_eq!(free.borrow().len(), MOST));
    }

    #[test]
    fn a_buffer_that_was_read_to_its_end_is_the_next_one() {
        let mut buffer = take(1000);
        let place = buffer.as_ptr();
        buffer.extend_from_slice(&[1; 1000]);
        drop(buffer.split_to(1000).freeze());
        give(buffer);
        assert_eq!(take(1000).as_ptr(), place);
    }
}
