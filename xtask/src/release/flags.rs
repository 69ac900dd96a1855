//! The compiler's flags: those that are set already, and ours.

use std::env;

/// The variable from which Cargo reads flags that may contain blanks, with [`BETWEEN`] between them.
pub(super) const ENCODED: &str = "CARGO_ENCODED_RUSTFLAGS";
const BETWEEN: &str = "\u{1f}";

/// The flags of the environment, and `own` behind them, as the value of [`ENCODED`]. As with RUSTFLAGS, what stands in
/// Cargo's configuration files does not count then.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment of the build, not of the gateway"
)]
pub(super) fn with(own: &[String]) -> String {
    let (encoded, plain) = (env::var(ENCODED).ok(), env::var("RUSTFLAGS").ok());
    join(encoded.as_deref(), plain.as_deref(), own)
}

/// Reads the two variables as Cargo does: the encoded one wins, the plain one is split at blanks.
fn join(encoded: Option<&str>, plain: Option<&str>, own: &[String]) -> String {
    let set: Vec<&str> = match (encoded, plain) {
        (Some(encoded), _) => encoded.split(BETWEEN).collect(),
        (None, Some(plain)) => plain.split_whitespace().collect(),
        (None, None) => Vec::new(),
    };
    let set = set.into_iter().filter(|flag| !flag.is_empty());
    let all: Vec<&str> = set.chain(own.iter().map(String::as_str)).collect();
    all.join(BETWEEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_set_stay_before_ours() {
        let own = ["-Cprofile-use=a b".to_owned()];
        assert_eq!(join(None, None, &own), "-Cprofile-use=a b");
        assert_eq!(
            join(None, Some(" -Ca  -Cb "), &own),
            "-Ca\u{1f}-Cb\u{1f}-Cprofile-use=a b"
        );
        assert_eq!(
            join(Some("-Cc=x y"), Some("-Ca"), &own),
            "-Cc=x y\u{1f}-Cprofile-use=a b"
        );
        assert_eq!(join(Some(""), Some("-Ca"), &own), "-Cprofile-use=a b");
    }
}
