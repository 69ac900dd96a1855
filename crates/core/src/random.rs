//! Chance as an argument: whoever needs unguessable bytes is given a [`Random`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A source of bytes that nobody can guess. The product's is the vault's (aws-lc); tests may bring a fixed one.
pub trait Random: Send + Sync + 'static {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// `N` random bytes as base64url text without padding: an identifier or a bearer secret.
///
/// 16 bytes make an identifier (128 bits), 32 bytes a secret.
#[must_use]
pub fn token<const N: usize>(random: &dyn Random) -> String {
    let mut bytes = [0u8; N];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
