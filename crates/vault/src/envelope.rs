//! The form of everything that is sealed: `1 | key id (8) | nonce (12) | ciphertext | tag (16)`, AES-256-GCM-SIV (RFC 8452).
//!
//! The header is authenticated together with the context, each part with its length, so that no two contexts can run
//! into each other. The nonce is random; should it ever repeat (a cloned machine), SIV gives away no more than that two
//! equal messages are equal (VA-03).

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use sallyport_core::Random;
use zeroize::Zeroize as _;

use crate::keys::KeyId;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 8;
const HEAD_LEN: usize = 1 + KEY_ID_LEN;
const TAG_LEN: usize = 16;

/// What sealing adds to the length, in bytes.
pub(crate) const OVERHEAD: usize = HEAD_LEN + NONCE_LEN + TAG_LEN;

/// The key id that a sealed value names, if it has the form of one.
pub(crate) fn key_id(sealed: &[u8]) -> Option<KeyId> {
    match sealed.split_first() {
        Some((&VERSION, rest)) if sealed.len() >= OVERHEAD => rest.first_chunk().copied().map(KeyId),
        _ => None,
    }
}

/// Seals; `None` only for a message of more than 64 GiB.
pub(crate) fn seal(
    key: &LessSafeKey,
    id: KeyId,
    random: &dyn Random,
    context: &[&str],
    plain: &[u8],
) -> Option<Vec<u8>> {
    let mut nonce = [0u8; NONCE_LEN];
    random.fill(&mut nonce);
    let mut out = Vec::with_capacity(OVERHEAD + plain.len());
    out.push(VERSION);
    out.extend_from_slice(&id.0);
    let aad = Aad::from(associated(&out, context));
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, aad, out.get_mut(start..)?);
    match tag {
        Ok(tag) => {
            out.extend_from_slice(tag.as_ref());
            Some(out)
        }
        Err(_) => {
            out.zeroize();
            None
        }
    }
}

/// Opens; `None` for whatever was not sealed with this key and context.
pub(crate) fn open(key: &LessSafeKey, context: &[&str], sealed: &[u8]) -> Option<Vec<u8>> {
    key_id(sealed)?;
    let (head, rest) = sealed.split_at_checked(HEAD_LEN)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
    let aad = Aad::from(associated(head, context));
    let mut buffer = ciphertext.to_vec();
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut buffer)
        .map(|plain| plain.len());
    if let Ok(length) = length {
        buffer.truncate(length);
        Some(buffer)
    } else {
        // What a failed opening leaves behind is unspecified; it may be the unauthenticated plain text.
        buffer.zeroize();
        None
    }
}

fn associated(head: &[u8], context: &[&str]) -> Vec<u8> {
    let length = head.len() + context.iter().map(|part| 8 + part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(head);
    for part in context {
        out.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}
