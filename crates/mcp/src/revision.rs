//! The protocol's revisions and the two eras they fall into.

use std::fmt;

/// The two shapes of the protocol. A gateway bridges between eras, not between revisions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Era {
    /// Revisions with `initialize`, sessions, and requests from the server.
    Legacy,
    /// 2026-07-28 and later: every request stands for itself.
    Modern,
}

/// One revision of the protocol, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Revision {
    /// The first: HTTP with a separate event stream.
    V2024_11_05,
    /// Streamable HTTP; the only one with batches.
    V2025_03_26,
    /// Structured output, elicitation, the version header.
    V2025_06_18,
    /// URL elicitation, experimental tasks, polled event streams.
    V2025_11_25,
    /// Stateless; the first modern one.
    V2026_07_28,
}

impl Revision {
    /// All that this gateway speaks, newest first.
    pub const SUPPORTED: &'static [Self] = &[
        Self::V2026_07_28,
        Self::V2025_11_25,
        Self::V2025_06_18,
        Self::V2025_03_26,
        Self::V2024_11_05,
    ];

    /// Those with `initialize`, newest first.
    pub const LEGACY: &'static [Self] = &[
        Self::V2025_11_25,
        Self::V2025_06_18,
        Self::V2025_03_26,
        Self::V2024_11_05,
    ];

    /// Those that are stateless, newest first.
    pub const MODERN: &'static [Self] = &[Self::V2026_07_28];

    /// The newest revision with `initialize`.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;

    /// The newest stateless revision.
    pub const NEWEST_MODERN: Self = Self::V2026_07_28;

    /// What a legacy request without `MCP-Protocol-Version` is taken for when no session tells (revision 2025-06-18,
    /// Transports, Protocol Version Header).
    pub const WITHOUT_HEADER: Self = Self::V2025_03_26;

    /// Reads a version as it stands on the wire, byte for byte; `None` for one that this gateway does not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::of(text.as_bytes())
    }

    /// Reads a header field, without regard to blanks around the version.
    #[must_use]
    pub fn in_field(field: &[u8]) -> Option<Self> {
        Self::of(field.trim_ascii())
    }

    fn of(text: &[u8]) -> Option<Self> {
        let mut all = Self::SUPPORTED.iter().copied();
        all.find(|revision| revision.as_str().as_bytes() == text)
    }

    /// The version as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era that the revision belongs to.
    #[must_use]
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
            Self::V2026_07_28 => Era::Modern,
        }
    }

    /// Whether a body may be an array of messages: only in 2025-03-26.
    #[must_use]
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_revision_has_its_own_text() {
        for revision in Revision::SUPPORTED {
            assert_eq!(Revision::parse(revision.as_str()), Some(*revision));
            let field = format!(" {revision}\t");
            assert_eq!(Revision::in_field(field.as_bytes()), Some(*revision));
        }
        for other in [
            "",
            "2026-07-28 ",
            "2026-7-28",
            "2027-01-01",
            "2025-06-18\0",
            "draft",
        ] {
            assert_eq!(Revision::parse(other), None, "{other}");
        }
        for other in ["", " ", "2026-07-28,", "2025-06-18\0"] {
            assert_eq!(Revision::in_field(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_lists_agree_with_the_eras() {
        assert!(Revision::LEGACY.iter().all(|r| r.era() == Era::Legacy));
        assert!(Revision::MODERN.iter().all(|r| r.era() == Era::Modern));
        assert_eq!(
            Revision::LEGACY.len() + Revision::MODERN.len(),
            Revision::SUPPORTED.len()
        );
        assert!(Revision::SUPPORTED.is_sorted_by(|newer, older| newer > older));
    }
}
