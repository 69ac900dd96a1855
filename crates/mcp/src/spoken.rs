//! What of the protocol is spoken towards clients: an operator may turn old parts of it off.

use crate::revision::{Era, Revision};

/// The revisions that are on, and the parts of old ones that have a switch of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Spoken {
    /// A bit for each revision that is off.
    off: u8,
    http_sse: bool,
    batches: bool,
}

impl Spoken {
    /// Everything.
    pub const ALL: Self = Self {
        off: 0,
        http_sse: true,
        batches: true,
    };

    /// The same without a revision. HTTP+SSE is the transport of 2024-11-05 and goes with it.
    #[must_use]
    pub fn without(self, revision: Revision) -> Self {
        Self {
            off: self.off | bit(revision),
            http_sse: self.http_sse && revision != Revision::V2024_11_05,
            ..self
        }
    }

    /// The same with HTTP+SSE on or off, whatever the revisions are.
    #[must_use]
    pub fn with_http_sse(self, http_sse: bool) -> Self {
        Self { http_sse, ..self }
    }

    /// The same without batches.
    #[must_use]
    pub fn without_batches(self) -> Self {
        Self {
            batches: false,
            ..self
        }
    }

    /// Whether a revision is on.
    #[must_use]
    pub fn has(self, revision: Revision) -> bool {
        self.off & bit(revision) == 0
    }

    /// Reads a version as it stands on the wire, byte for byte; `None` for one that is not spoken here.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<Revision> {
        Revision::parse(text).filter(|revision| self.has(*revision))
    }

    /// The revisions that are on, newest first.
    pub fn revisions(self) -> impl Iterator<Item = Revision> {
        let all = Revision::SUPPORTED.iter().copied();
        all.filter(move |revision| self.has(*revision))
    }

    /// Whether a revision of this era is on.
    #[must_use]
    pub fn has_era(self, era: Era) -> bool {
        self.revisions().any(|revision| revision.era() == era)
    }

    /// Whether the two URLs of 2024-11-05 are served. They carry sessions, so that a revision with `initialize` is needed.
    #[must_use]
    pub fn has_http_sse(self) -> bool {
        self.http_sse && self.has_era(Era::Legacy)
    }

    /// Whether a session of this revision may send an array of messages.
    #[must_use]
    pub fn has_batches(self, revision: Revision) -> bool {
        self.batches && revision.has_batches()
    }

    /// The answer to `initialize`: the version that was asked for if it is a legacy one that is on, else the newest legacy
    /// one that is on; `None` if there is none. A modern version gets a legacy one too, because `initialize` opens a legacy
    /// session whatever it names.
    #[must_use]
    pub fn negotiate_legacy(self, asked: &str) -> Option<Revision> {
        let legacy = |revision: &Revision| revision.era() == Era::Legacy;
        self.parse(asked)
            .filter(legacy)
            .or_else(|| self.revisions().find(legacy))
    }

    /// The versions that are on as a raw JSON array, newest first.
    #[must_use]
    pub fn versions(self) -> String {
        let versions: Vec<String> = self
            .revisions()
            .map(|revision| format!("\"{revision}\""))
            .collect();
        format!("[{}]", versions.join(","))
    }
}

impl Default for Spoken {
    fn default() -> Self {
        Self::ALL
    }
}

const fn bit(revision: Revision) -> u8 {
    match revision {
        Revision::V2024_11_05 => 1,
        Revision::V2025_03_26 => 1 << 1,
        Revision::V2025_06_18 => 1 << 2,
        Revision::V2025_11_25 => 1 << 3,
        Revision::V2026_07_28 => 1 << 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Revision::{V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    fn without(off: &[Revision]) -> Spoken {
        off.iter()
            .fold(Spoken::ALL, |spoken, revision| spoken.without(*revision))
    }

    #[test]
    fn each_revision_has_its_own_switch() {
        for off in Revision::SUPPORTED {
            for other in Revision::SUPPORTED {
                let spoken = without(&[*off]);
                assert_eq!(spoken.has(*other), off != other, "{off} {other}");
                assert_eq!(spoken.parse(other.as_str()).is_some(), off != other);
            }
        }
        assert_eq!(Spoken::ALL.parse("2027-01-01"), None);
    }

    #[test]
    fn initialize_is_answered_with_a_legacy_revision_that_is_on() {
        let legacy_off = without(Revision::LEGACY);
        for (spoken, asked, answered) in [
            (Spoken::ALL, "2024-11-05", Some(V2024_11_05)),
            (Spoken::ALL, "2025-03-26", Some(V2025_03_26)),
            (Spoken::ALL, "2025-06-18", Some(V2025_06_18)),
            (Spoken::ALL, "2025-11-25", Some(V2025_11_25)),
            (Spoken::ALL, "2026-07-28", Some(V2025_11_25)),
            (Spoken::ALL, "1999-01-01", Some(V2025_11_25)),
            (Spoken::ALL, "", Some(V2025_11_25)),
            (without(&[V2025_03_26]), "2025-03-26", Some(V2025_11_25)),
            (without(&[V2025_03_26]), "2024-11-05", Some(V2024_11_05)),
            (without(&[V2025_11_25]), "2025-11-25", Some(V2025_06_18)),
            (without(&[V2025_11_25]), "2026-07-28", Some(V2025_06_18)),
            (without(&[V2026_07_28]), "2026-07-28", Some(V2025_11_25)),
            (legacy_off, "2025-11-25", None),
            (legacy_off, "2026-07-28", None),
        ] {
            assert_eq!(spoken.negotiate_legacy(asked), answered, "{spoken:?} {asked}");
        }
    }

    #[test]
    fn old_parts_go_with_their_revisions_or_alone() {
        let oldest_off = without(&[V2024_11_05]);
        for (spoken, http_sse) in [
            (Spoken::ALL, true),
            (Spoken::ALL.with_http_sse(false), false),
            (oldest_off, false),
            (oldest_off.with_http_sse(true), true),
            (without(Revision::LEGACY).with_http_sse(true), false),
        ] {
            assert_eq!(spoken.has_http_sse(), http_sse, "{spoken:?}");
        }
        assert!(Spoken::ALL.has_batches(V2025_03_26));
        assert!(!Spoken::ALL.has_batches(V2025_06_18));
        assert!(!Spoken::ALL.without_batches().has_batches(V2025_03_26));
    }

    #[test]
    fn the_versions_that_are_on_are_told_newest_first() {
        let spoken = without(&[V2024_11_05, V2025_06_18]);
        assert_eq!(spoken.versions(), r#"["2026-07-28","2025-11-25","2025-03-26"]"#);
    }
}
