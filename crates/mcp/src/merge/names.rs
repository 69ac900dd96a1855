//! Names with the name of their server before them.

use sallyport_core::ServerName;

/// What stands between the server's name and its own name for a thing. No server's name holds it, so that the first one
/// in a prefixed name is the border.
pub const SEPARATOR: &str = "__";

/// The longest prefixed name, in bytes: what model APIs take.
pub const MAX_PREFIXED_NAME: usize = 64;

/// Characters of the digest that ends a shortened name.
const DIGEST: usize = 12;

/// `{server}__{name}`; too long, it is cut, and ends in a digest of the whole.
#[must_use]
pub fn prefixed_name(server: &ServerName, name: &str) -> String {
    let whole = format!("{server}{SEPARATOR}{name}");
    if whole.len() <= MAX_PREFIXED_NAME {
        return whole;
    }
    let keep = whole.floor_char_boundary(MAX_PREFIXED_NAME - DIGEST - 1);
    let head = whole.get(..keep).unwrap_or_default();
    format!("{head}_{}", digest(whole.as_bytes()))
}

/// Whether a server's own name for a thing looks as if it were prefixed with the name of one of these servers.
pub(super) fn imitates_prefix<'a>(name: &str, servers: impl IntoIterator<Item = &'a ServerName>) -> bool {
    let Some((head, _)) = name.split_once(SEPARATOR) else {
        return false;
    };
    servers.into_iter().any(|s| s.as_str() == head)
}

/// Twelve letters and digits. They tell names apart; nothing rests on nobody finding two with the same, because names
/// that come out equal are refused.
fn digest(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hash = fnv(bytes);
    let mut out = String::with_capacity(DIGEST);
    for _ in 0..DIGEST {
        let letter = LETTERS.get((hash & 31) as usize).copied().unwrap_or(b'a');
        out.push(char::from(letter));
        hash >>= 5;
    }
    out
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
