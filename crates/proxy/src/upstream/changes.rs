//! What the supervisor of a server is to look at again.

use std::sync::atomic::{AtomicU8, Ordering};

use sallyport_mcp::method::Method;
use tokio::sync::Notify;

/// Things to look at, gathered until the supervisor takes them.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    what: AtomicU8,
    wake: Notify,
}

/// A set of things to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changed(u8);

impl Changed {
    /// The tools.
    pub(crate) const TOOLS: Self = Self(1);
    /// The prompts.
    pub(crate) const PROMPTS: Self = Self(2);
    /// The resources and templates.
    pub(crate) const RESOURCES: Self = Self(4);
    /// Every list.
    pub(crate) const LISTS: Self = Self(7);
    /// What the server said about itself was contradicted: its eras too.
    pub(crate) const EVERYTHING: Self = Self(15);

    /// Which list a notification says has changed.
    pub(crate) fn of(method: Method) -> Option<Self> {
        match method {
            Method::ToolsChanged => Some(Self::TOOLS),
            Method::PromptsChanged => Some(Self::PROMPTS),
            Method::ResourcesChanged => Some(Self::RESOURCES),
            _ => None,
        }
    }

    /// Whether all of `other` is in it.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything of `other` is in it.
    pub(crate) fn touches(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Changes {
    /// Adds to what is to be looked at.
    pub(crate) fn add(&self, changed: Changed) {
        self.what.fetch_or(changed.0, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Waits until there is something.
    pub(crate) async fn wait(&self) {
        while self.what.load(Ordering::Acquire) == 0 {
            self.wake.notified().await;
        }
    }

    /// Takes what there is.
    pub(crate) fn take(&self) -> Changed {
        Changed(self.what.swap(0, Ordering::AcqRel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_gather_until_they_are_taken() {
        let changes = Changes::default();
        changes.add(Changed::TOOLS);
        changes.add(Changed::RESOURCES);
        changes.wait().await;
        let taken = changes.take();
        assert!(taken.covers(Changed::TOOLS) && taken.touches(Changed::LISTS));
        assert!(!taken.touches(Changed::PROMPTS) && !taken.covers(Changed::EVERYTHING));
        assert_eq!(changes.take(), Changed::default());
    }
}
