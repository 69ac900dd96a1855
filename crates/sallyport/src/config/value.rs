//! The kinds of values that the file holds: durations, sizes, addresses, secrets, names.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sallyport_core::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::read::{Context, Read};
use super::tree::{Node, Place};

/// A value and the place where it stands, for rules that look at several values.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Read> Read for Located<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        T::read(node, cx).map(|value| Self {
            place: node.place,
            value,
        })
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A schema for text of a certain form; a reference may stand in its place.
macro_rules! text_schema {
    ($name:ident, $pattern:literal) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": concat!("^(", $pattern, "|.*\\$\\{.*)$") })
            }
        }
    };
}

macro_rules! shown_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

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

/// An address to listen on: `127.0.0.1:8717`, `[::1]:8717`, `localhost:8717`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address(pub SocketAddr);

impl Address {
    /// Reads an IP address and a port; `localhost` stands for `127.0.0.1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Read for Address {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "an IP address and a port: `127.0.0.1:8717`, `[::]:8717`";
        let scalar = cx.scalar(node, FORM)?;
        match Self::parse(&scalar.text) {
            Some(address) => Some(address),
            None => cx.refuse(
                node,
                format!(
                    "`{}` is not an address to listen on; write {FORM}",
                    scalar.shown()
                ),
            ),
        }
    }
}

shown_as_text!(Address);
text_schema!(Address, ".+:[0-9]{1,5}");

/// A directory or file, `~/` and relative paths already resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePath(pub PathBuf);

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Read for FilePath {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        if text.is_empty() {
            return cx.refuse(node, "the path is empty; name a path");
        }
        Some(Self(cx.sources.path(&text)))
    }
}

shown_as_text!(FilePath);
text_schema!(FilePath, ".+");

/// A value that may be a credential: shown as the reference that it was written as, or not at all.
#[derive(Clone)]
pub struct Sensitive {
    /// The value.
    pub value: Secret<String>,
    /// What may be shown.
    shown: String,
}

/// What is shown in place of a secret.
pub const HIDDEN: &str = "[hidden]";

impl PartialEq for Sensitive {
    fn eq(&self, other: &Self) -> bool {
        self.value.matches(other.value.expose().as_bytes())
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Read for Sensitive {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        let scalar = cx.scalar(node, "text")?;
        // Text around a reference may itself be secret: only what is a reference and nothing else is shown.
        let whole =
            |s: &&String| s.starts_with("${") && s.find('}') == Some(s.len() - 1) && !s.contains(":-");
        let shown = scalar
            .reference
            .as_ref()
            .filter(whole)
            .map_or(HIDDEN, String::as_str)
            .to_owned();
        Some(Self {
            value: Secret::new(text),
            shown,
        })
    }
}

shown_as_text!(Sensitive);
text_schema!(Sensitive, ".*");

/// Text that is no secret by itself; if references brought parts of it in, it is shown as it was written.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text.
    pub value: String,
    written: Option<String>,
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            written: None,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written.as_ref().unwrap_or(&self.value))
    }
}

impl Read for Text {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let value = String::read(node, cx)?;
        let written = cx.scalar(node, "text")?.reference.clone();
        Some(Self { value, written })
    }
}

shown_as_text!(Text);

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// An http or https URL without user information and fragment; what follows `?` is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebUrl {
    /// The URL.
    pub url: url::Url,
    shown: String,
}

impl WebUrl {
    /// Checks and takes a URL.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text)
            .map_err(|error| format!("this is not a URL: {error}; write `https://host/path`"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("this is neither an http nor an https URL; write `https://host/path`".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL holds a user name or password; put credentials into `headers`".to_owned());
        }
        if url.fragment().is_some() {
            return Err("the URL has a fragment; remove `#` and what follows".to_owned());
        }
        let mut plain = url.clone();
        plain.set_query(url.query().map(|_| HIDDEN));
        let shown = match (plain.path(), plain.query()) {
            ("/", None) => plain.as_str().trim_end_matches('/').to_owned(),
            _ => plain.to_string(),
        };
        Ok(Self { url, shown })
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Read for WebUrl {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = Text::read(node, cx)?;
        match Self::parse(&text.value) {
            Ok(url) => Some(match text.written {
                Some(written) => Self {
                    shown: written,
                    ..url
                },
                None => url,
            }),
            Err(message) => cx.refuse(node, message),
        }
    }
}

shown_as_text!(WebUrl);
text_schema!(WebUrl, "https?://.+");

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

    #[test]
    fn addresses_need_an_ip_and_a_port() {
        for (text, address) in [
            ("127.0.0.1:8717", Some("127.0.0.1:8717")),
            ("[::1]:0", Some("[::1]:0")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("8717", None),
            (":8717", None),
            ("example.com:80", None),
            ("127.0.0.1:65536", None),
        ] {
            assert_eq!(
                Address::parse(text).map(|a| a.to_string()).as_deref(),
                address,
                "{text}"
            );
        }
    }
}
