//! `protocol`: what of the protocol is spoken towards clients.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use sallyport_proxy::spec::{Revision, Spoken};

use super::problem::{Collector, quoted};
use super::read::{Context, Fields, Read, section};
use super::tree::{Node, Place};

section! {
    /// What of the protocol is spoken towards clients. Servers may speak any revision whatever stands here.
    Protocol {
        /// The oldest revision that is on.
        oldest: Version = Version(Revision::V2024_11_05);
        /// Revisions that are off although they are not older.
        without: Vec<Version> = Vec::new();
        /// Whether HTTP+SSE is on, the transport of 2024-11-05. Absent: if that revision is.
        http_sse: Option<bool> = None;
        /// Whether sessions of 2025-03-26 may send several messages in one body.
        batches: bool = true;
    }
    checked by check;
}

fn check(protocol: &Protocol, place: Place, fields: &Fields<'_>, problems: &mut Collector) {
    let place = fields.get("without").map_or(place, |node| node.place);
    if Spoken::from(protocol).revisions().next().is_none() {
        problems.add(place, "no revision is left; leave at least one on");
    }
}

impl From<&Protocol> for Spoken {
    fn from(protocol: &Protocol) -> Self {
        let is_off = |revision: &Revision| {
            *revision < protocol.oldest.0 || protocol.without.contains(&Version(*revision))
        };
        let off = Revision::SUPPORTED.iter().filter(|revision| is_off(revision));
        let spoken = off.fold(Self::ALL, |spoken, revision| spoken.without(*revision));
        let spoken = match protocol.http_sse {
            Some(http_sse) => spoken.with_http_sse(http_sse),
            None => spoken,
        };
        if protocol.batches {
            spoken
        } else {
            spoken.without_batches()
        }
    }
}

/// A revision of the protocol, by its date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(pub Revision);

impl Read for Version {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let known = known();
        let scalar = cx.scalar(node, &format!("one of {}", quoted(&known)))?;
        match Revision::parse(&scalar.text) {
            Some(revision) => Some(Self(revision)),
            None => cx.refuse(
                node,
                format!(
                    "`{}` is no revision that is known here; write {}",
                    scalar.shown(),
                    quoted(&known)
                ),
            ),
        }
    }
}

fn known() -> Vec<&'static str> {
    Revision::SUPPORTED
        .iter()
        .map(|revision| revision.as_str())
        .collect()
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": known() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Adjustments, Location};
    use Revision::{V2024_11_05, V2025_03_26, V2025_06_18, V2026_07_28};

    #[test]
    fn the_oldest_revision_and_single_ones() {
        let all = Protocol::default;
        for (protocol, expected) in [
            (all(), Spoken::ALL),
            (
                Protocol {
                    oldest: Version(V2025_06_18),
                    ..all()
                },
                Spoken::ALL.without(V2024_11_05).without(V2025_03_26),
            ),
            (
                Protocol {
                    without: vec![Version(V2026_07_28)],
                    ..all()
                },
                Spoken::ALL.without(V2026_07_28),
            ),
            (
                Protocol {
                    oldest: Version(V2025_03_26),
                    http_sse: Some(true),
                    batches: false,
                    ..all()
                },
                Spoken::ALL
                    .without(V2024_11_05)
                    .with_http_sse(true)
                    .without_batches(),
            ),
        ] {
            assert_eq!(Spoken::from(&protocol), expected, "{protocol:?}");
        }
    }

    fn read(text: &str) -> Result<Spoken, String> {
        let location = Location {
            file: None,
            env: [("HOME".to_owned(), "/h".to_owned())].into(),
        };
        let draft = location.parse(text, "f.yaml", &Adjustments::default());
        let config = draft.finish(&BTreeSet::new());
        config
            .map(|config| Spoken::from(&config.root.protocol))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn revisions_that_are_not_known_and_none_left_are_named() {
        let known = "`2026-07-28`, `2025-11-25`, `2025-06-18`, `2025-03-26`, `2024-11-05`";
        for (text, words) in [
            (
                "protocol: { oldest: 2025-01-01 }",
                "`2025-01-01` is no revision that is known here; write ",
            ),
            (
                "protocol: { without: [5] }",
                "`5` is no revision that is known here; write ",
            ),
            (
                "protocol: { oldest: 2026-07-28, without: [2026-07-28] }",
                "no revision is left",
            ),
            (
                "profiles: { p: { servers: [\"*\"], protocol: { oldest: 1 } } }",
                "`1` is no revision",
            ),
        ] {
            let problems = read(text).expect_err(text);
            assert!(problems.contains(words), "{problems}");
            assert!(
                !words.ends_with("write ") || problems.contains(known),
                "{problems}"
            );
        }
        let spoken = |text| read(text).expect(text);
        let oldest = spoken("protocol: { oldest: 2025-06-18 }");
        assert_eq!(oldest.versions(), r#"["2026-07-28","2025-11-25","2025-06-18"]"#);
    }
}
