//! The master key and the keys that are drawn from it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use sallyport_core::capability::Purpose;
use sallyport_core::{Random, Secret};
use zeroize::Zeroizing;

use crate::KeyError;

/// The salt of the extraction step (RFC 5869 §3.1): a change of it would be a change of every key.
const SALT: &[u8] = b"sallyport/vault/1";

/// Names a master key in everything that is sealed under it; tells nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 32 bytes under which an installation seals.
#[derive(Clone)]
pub struct MasterKey(Secret<[u8; Self::LEN]>);

impl MasterKey {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// Fewer different byte values than this among 32 is a pattern; 32 random bytes have fewer with a chance below 2⁻⁷⁰.
    const MIN_DISTINCT: usize = 14;

    /// Takes 32 bytes that look random.
    ///
    /// # Errors
    /// [`KeyError::Placeholder`] for zeros, repetitions, counters and readable text (VA-04).
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, KeyError> {
        let key = Self(Secret::new(bytes));
        if key.is_pattern() {
            return Err(KeyError::Placeholder);
        }
        Ok(key)
    }

    /// Reads 64 hex characters, or 32 bytes in base64 or base64url with or without padding. White space around is ignored.
    ///
    /// # Errors
    /// [`KeyError::Form`] for another form or length, [`KeyError::Placeholder`] for a key that is not random.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => hex(text),
            43 => URL_SAFE_NO_PAD.decode(text).ok(),
            44 => URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok(),
            _ => None,
        }
        .map(Zeroizing::new)
        .ok_or(KeyError::Form)?;
        let bytes = <[u8; Self::LEN]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Form)?;
        Self::from_bytes(bytes)
    }

    /// One that is drawn now.
    ///
    /// # Errors
    /// [`KeyError::Placeholder`] from a source of chance that is none.
    pub fn make(random: &dyn Random) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0u8; Self::LEN]);
        random.fill(bytes.as_mut_slice());
        Self::from_bytes(*bytes)
    }

    /// What names it.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn id(&self) -> Result<KeyId, KeyError> {
        key_id(&self.root())
    }

    /// The keys with which it opens what clients carry, to be kept sealed when the key itself is given up.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn state_keys(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        let root = self.root();
        let mut out = Vec::with_capacity(1 + PURPOSES.len() * Self::LEN);
        out.push(FORM);
        for purpose in PURPOSES {
            out.extend_from_slice(expand(&root, &state_label(purpose))?.as_slice());
        }
        Ok(Secret::new(out))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.matches(other.0.expose())
    }

    pub(crate) fn root(&self) -> Prk {
        Salt::new(HKDF_SHA256, SALT).extract(self.0.expose())
    }

    /// The text that [`MasterKey::parse`] reads: 64 hex characters.
    #[must_use]
    pub fn to_hex(&self) -> Secret<String> {
        Secret::new(self.0.expose().iter().map(|b| format!("{b:02x}")).collect())
    }

    fn is_pattern(&self) -> bool {
        let bytes = self.0.expose();
        let mut seen = Zeroizing::new(*bytes);
        seen.sort_unstable();
        let distinct = 1 + seen
            .iter()
            .zip(seen.iter().skip(1))
            .filter(|(a, b)| a != b)
            .count();
        let steps = || {
            bytes
                .iter()
                .zip(bytes.iter().skip(1))
                .map(|(a, b)| b.wrapping_sub(*a))
        };
        let counter = steps().zip(steps().skip(1)).all(|(a, b)| a == b);
        let readable = bytes.iter().all(|b| (0x20..0x7f).contains(b));
        distinct < Self::MIN_DISTINCT || counter || readable
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}

/// In the order in which their keys are written, which stays.
const PURPOSES: [Purpose; 6] = [
    Purpose::Session,
    Purpose::Cursor,
    Purpose::RequestState,
    Purpose::Task,
    Purpose::LoginForm,
    Purpose::KeptSession,
];

/// The form of written state keys.
const FORM: u8 = 2;

/// The form in which there were so many of [`PURPOSES`].
const OLDER_FORM: (u8, usize) = (1, 5);

/// The keys that one master key gives, each for one use.
pub(crate) struct Keys {
    pub(crate) id: KeyId,
    pub(crate) secrets: LessSafeKey,
    pub(crate) state: StateKeys,
}

impl Keys {
    pub(crate) fn draw(master: &MasterKey) -> Result<Self, KeyError> {
        let root = master.root();
        Ok(Self {
            id: key_id(&root)?,
            secrets: aead(&expand(&root, "secrets")?)?,
            state: StateKeys::read(master.state_keys()?.expose())?,
        })
    }
}

/// The keys for what clients carry, in the order of [`PURPOSES`]; written by an older program, they lack the last.
pub(crate) struct StateKeys(Vec<LessSafeKey>);

impl StateKeys {
    /// Reads what [`MasterKey::state_keys`] wrote.
    pub(crate) fn read(written: &[u8]) -> Result<Self, KeyError> {
        let (form, keys) = written.split_first().ok_or(KeyError::Library)?;
        let count = match *form {
            FORM => PURPOSES.len(),
            form if form == OLDER_FORM.0 => OLDER_FORM.1,
            _ => return Err(KeyError::Library),
        };
        let keys: Vec<_> = keys.chunks(MasterKey::LEN).map(aead).collect::<Result<_, _>>()?;
        if keys.len() == count {
            Ok(Self(keys))
        } else {
            Err(KeyError::Library)
        }
    }

    /// The key for a purpose, if there was one when the keys were written.
    pub(crate) fn of(&self, purpose: Purpose) -> Option<&LessSafeKey> {
        let place = PURPOSES.iter().position(|known| *known == purpose)?;
        self.0.get(place)
    }
}

fn state_label(purpose: Purpose) -> String {
    format!("state/{}", purpose.label())
}

fn key_id(root: &Prk) -> Result<KeyId, KeyError> {
    let id = expand(root, "key id")?;
    id.first_chunk().copied().map(KeyId).ok_or(KeyError::Library)
}

fn aead(key: impl AsRef<[u8]>) -> Result<LessSafeKey, KeyError> {
    let key = UnboundKey::new(&AES_256_GCM_SIV, key.as_ref()).map_err(|_| KeyError::Library)?;
    Ok(LessSafeKey::new(key))
}

pub(crate) fn expand(root: &Prk, label: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut out = Zeroizing::new([0u8; 32]);
    root.expand(&[label.as_bytes()], hmac::HMAC_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| KeyError::Library)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "8f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13";

    #[test]
    fn every_written_form_is_the_same_key() {
        let key = MasterKey::parse(GOOD).unwrap();
        let bytes = key.0.expose();
        for text in [
            format!("  {GOOD}\n"),
            GOOD.to_uppercase(),
            URL_SAFE_NO_PAD.encode(bytes),
            URL_SAFE.encode(bytes),
            STANDARD.encode(bytes),
        ] {
            assert!(
                MasterKey::parse(&text).is_ok_and(|k| k.0.matches(bytes)),
                "{text}"
            );
        }
        assert_eq!(key.to_hex().expose(), GOOD);
    }

    #[test]
    fn va_04_weak_master_keys_are_refused_without_showing_them() {
        let typo = GOOD.replacen('8', "g", 1);
        let form = [
            "",
            "changeme",
            &GOOD[..62],
            &typo,
            &format!("{GOOD}00"),
            "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
        ];
        for text in form {
            let error = MasterKey::parse(text).err().unwrap();
            assert!(matches!(error, KeyError::Form), "{text}");
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
        let counter: String = (0..32).map(|i| format!("{i:02x}")).collect();
        let readable = URL_SAFE_NO_PAD.encode(b"this is the secret key of my box");
        for text in [
            "0".repeat(64),
            "f".repeat(64),
            "0123456789abcdef".repeat(4),
            "deadbeef".repeat(8),
            counter,
            readable,
            "A".repeat(43),
        ] {
            let error = MasterKey::parse(&text).err().unwrap();
            assert!(matches!(error, KeyError::Placeholder), "{text}: {error}");
            assert!(!error.to_string().contains(&text));
        }
    }

    #[test]
    fn state_keys_are_read_whole_or_not_at_all() {
        let written = MasterKey::parse(GOOD).unwrap().state_keys().unwrap();
        let written = written.expose();
        assert_eq!(written.len(), 1 + 6 * 32);
        let keys = StateKeys::read(written).unwrap();
        assert!(PURPOSES.iter().all(|purpose| keys.of(*purpose).is_some()));
        let longer = [written.as_slice(), &[0; 32]].concat();
        let other = [&[9], &written[1..]].concat();
        for bad in [&[][..], &written[..192], &written[..161], &longer, &other] {
            assert!(StateKeys::read(bad).is_err(), "{}", bad.len());
        }
    }

    #[test]
    fn state_keys_that_an_older_program_wrote_lack_the_newest_purpose() {
        let written = MasterKey::parse(GOOD).unwrap().state_keys().unwrap();
        let older = [&[1], &written.expose()[1..=5 * 32]].concat();
        let keys = StateKeys::read(&older).unwrap();
        for purpose in PURPOSES {
            let known = keys.of(purpose).is_some();
            assert_eq!(known, purpose != Purpose::KeptSession, "{purpose:?}");
        }
        for bad in [&older[..128], &[&[1], &written.expose()[1..]].concat()] {
            assert!(StateKeys::read(bad).is_err(), "{}", bad.len());
        }
    }

    #[test]
    fn different_masters_give_different_ids_and_keys() {
        let a = Keys::draw(&MasterKey::parse(GOOD).unwrap()).unwrap();
        let b = Keys::draw(&MasterKey::parse(&GOOD.replacen('8', "9", 1)).unwrap()).unwrap();
        assert_ne!(a.id, b.id);
        assert_eq!(a.id, MasterKey::parse(GOOD).unwrap().id().unwrap());
        assert_eq!(a.id.to_string().len(), 16);
    }
}
