//! Identifiers and names. Each kind is its own type, so that two of them cannot be swapped. Their texts are shared, because
//! every call hands them on to its records; names of usual length are copied instead, because threads that count who shares a
//! text wait for each other.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;
use thiserror::Error;

use crate::random::{Random, token};

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes an identifier as it was stored or received; it is compared byte for byte.
            #[must_use]
            pub fn new(value: impl Into<Arc<str>>) -> Self {
                Self(value.into())
            }

            /// A fresh identifier of 128 random bits.
            #[must_use]
            pub fn generate(random: &dyn Random) -> Self {
                Self(token::<16>(random).into())
            }

            /// The identifier's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }

        as_text!($name);
    };
}

/// An identifier is written as its text.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_id!(
    /// A person known to this gateway; the `sub` of the tokens it issues.
    UserId
);
opaque_id!(
    /// An OAuth client: a registered identifier, or the URL of a client ID metadata document.
    ClientId
);
opaque_id!(
    /// One person's grant to one client: the family that its refresh tokens form.
    GrantId
);
opaque_id!(
    /// The `jti` of one access token (RFC 9068 §2.2).
    TokenId
);
opaque_id!(
    /// The SHA-256 thumbprint of a public key (RFC 7638), in base64url: what a token is bound to (RFC 9449 §6).
    Thumbprint
);

/// Numbers one inbound request in logs, audit records and error answers; unique within a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Why a name was refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "`{name}` is not a valid {kind} name: use 1 to {max} letters, digits, `-`, `_` or `.`, \
     starting with a letter or digit, without `__`"
)]
pub struct InvalidName {
    kind: &'static str,
    max: usize,
    name: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(SmolStr);

        impl $name {
            /// The longest name that is accepted, in bytes.
            pub const MAX: usize = $max;

            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidName`] says what a name may hold.
            pub fn parse(value: &str) -> Result<Self, InvalidName> {
                if well_formed(value, $max) {
                    return Ok(Self(value.into()));
                }
                let name = value.chars().take(64).flat_map(char::escape_default).collect();
                Err(InvalidName { kind: $kind, max: $max, name })
            }

            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        as_text!($name);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The operator's name for an upstream server; the prefix of its tools where names collide.
    ServerName, "server", 32
);
name!(
    /// The name of a profile: the last segment of `/mcp/{slug}`.
    ProfileSlug, "profile", 32
);

/// One grammar for every name that becomes a path segment or a prefix: nothing in it can climb out of a path, open a
/// glob, or imitate the separator of prefixed tool names.
fn well_formed(value: &str, max: usize) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    value.len() <= max
        && value.bytes().all(allowed)
        && value.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !value.contains("__")
        && !value.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_the_limit_and_past_it() {
        assert!(ServerName::parse(&"a".repeat(32)).is_ok());
        assert!(ServerName::parse(&"a".repeat(33)).is_err());
        assert!(ServerName::parse("").is_err());
    }

    #[test]
    fn ad_10_names_cannot_be_paths_or_globs() {
        for bad in [
            "../../etc/x",
            "a/b",
            "**",
            "a\0b",
            "..",
            ".hidden",
            "a__b",
            "a_",
            "é",
            " a",
            "a b",
            "%00",
        ] {
            assert!(ServerName::parse(bad).is_err(), "{bad:?} was accepted");
            assert!(ProfileSlug::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["everything", "git-hub", "Docs2", "a_b.c", "0"] {
            assert!(ServerName::parse(good).is_ok(), "{good:?} was refused");
        }
    }
}
