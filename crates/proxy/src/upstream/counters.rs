//! What happened at one server, as plain numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Events at one server since it was configured; they only grow.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Counters {
            /// Every count with its name.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Messages that answer nothing that was asked, or ask what may not be asked: dropped (SS-04).
    foreign_messages,
    /// Lines or events that are no messages: dropped (ST-08, SS-01).
    garbage,
    /// Answers that came after the call had ended: dropped.
    late_answers,
    /// Legacy sessions and child processes that were opened.
    links_opened,
    /// Child processes that were started.
    spawns,
    /// Child processes that ended without having been told to.
    crashes,
    /// Connections with a conversation that ended without having been closed here.
    connections_lost,
    /// Legacy sessions that the server had forgotten and that were opened anew.
    sessions_renewed,
    /// Lines of standard error that were left out of the log.
    stderr_suppressed,
    /// Calls that were cut because their client did not read.
    slow_readers,
}
