//! Lengths of time and numbers of bytes.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{shown_as_text, text_schema};
use crate::config::read::{Context, Read};
use crate::config::tree::Node;

/// A length of time: `500ms`, `15m`, `30d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Period(pub Duration);

/// The units of time, the largest first, in milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Period {
    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Reads `90s`, `15m`, `1h`, `30d`, `500ms`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number
            .parse::<u64>()
            .ok()?
            .checked_mul(*millis)
            .map(Duration::from_millis)
            .map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let whole = UNITS
            .iter()
            .find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

impl Read for Period {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "a number and a unit: `500ms`, `90s`, `15m`, `1h`, `30d`";
        let scalar = cx.scalar(node, FORM)?;
        match Self::parse(&scalar.text) {
            Some(period) => Some(period),
            None => cx.refuse(
                node,
                format!("`{}` is not a length of time; write {FORM}", scalar.shown()),
            ),
        }
    }
}

shown_as_text!(Period);
text_schema!(Period, "[0-9]+(ms|s|m|h|d)");

/// A number of bytes: `4MiB`, `64KiB`, or digits alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(pub usize);

const SIZES: &[(&str, usize)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl ByteSize {
    /// So many KiB.
    #[must_use]
    pub const fn kib(kib: usize) -> Self {
        Self(kib << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(mib: usize) -> Self {
        Self(mib << 20)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<usize>().ok()?.checked_mul(*bytes).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZES
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Read for ByteSize {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "a number of bytes: `64KiB`, `4MiB`, `1048576`";
        let scalar = cx.scalar(node, FORM)?;
        match Self::parse(&scalar.text) {
            Some(size) => Some(size),
            None => cx.refuse(node, format!("`{}` is not a size; write {FORM}", scalar.shown())),
        }
    }
}

shown_as_text!(ByteSize);

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^([0-9]+ ?([KMG]iB)?|.*\\$\\{.*)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_sizes_are_read_and_written_alike() {
        for text in ["500ms", "90s", "15m", "1h", "30d", "25h", "61s"] {
            assert_eq!(Period::parse(text).map(|p| p.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "15",
            "m",
            "-1s",
            "1.5h",
            "15 m",
            "15min",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
        for text in ["4MiB", "64KiB", "1000", "1GiB"] {
            assert_eq!(
                ByteSize::parse(text).map(|p| p.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in ["", "MiB", "4MB", "-1", "1.5MiB", "99999999999GiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }
}
