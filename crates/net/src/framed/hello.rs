//! What is said before the first message: versions, and who is there.

use bytes::{Buf as _, BufMut as _, BytesMut};
use sallyport_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::codec::VERSION;

/// How far the clocks of both sides may be apart, in seconds. A frame that was recorded is of no use after that.
pub const CLOCK_SKEW: u64 = 60;

/// The longest payload before a token was shown, in bytes: a token of 8 KiB, and the rest.
pub(super) const MAX_HELLO: usize = 9 * 1024;

/// The length of a client id, in bytes.
const CLIENT_ID: usize = 16;

/// The payload of a frame of type 6.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest version that the client speaks.
    pub min_version: u16,
    /// The newest.
    pub max_version: u16,
    /// The one it likes best.
    pub preferred_version: u16,
    /// All of them; when absent, all from the oldest to the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported_versions: Option<Vec<u16>>,
}

impl Versions {
    /// What we speak.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            min_version: VERSION,
            max_version: VERSION,
            preferred_version: VERSION,
            supported_versions: Some(vec![VERSION]),
        }
    }

    /// Whether the one version of ours is among them.
    #[must_use]
    pub fn include_ours(&self) -> bool {
        match &self.supported_versions {
            Some(versions) => versions.contains(&VERSION),
            None => (self.min_version..=self.max_version).contains(&VERSION),
        }
    }
}

/// The payload of a frame of type 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agreed {
    /// The version that is spoken from now on.
    pub agreed_version: u16,
}

/// The payload of a frame of type 8: length of the token (u32), token, client id (16 bytes), Unix time in seconds (u64),
/// big-endian.
#[derive(Clone)]
pub struct AuthFrame {
    /// The bearer token.
    pub token: Secret<String>,
    /// What the client calls itself. Who it is says the token alone.
    pub client_id: [u8; CLIENT_ID],
    /// When the client says it was written, in seconds since 1970.
    pub timestamp: u64,
}

/// Why a payload shows no token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum AuthError {
    /// It has not the layout, to the byte.
    #[error("the AUTH frame is malformed")]
    Malformed,
    /// Its time is further away than [`CLOCK_SKEW`].
    #[error("the AUTH frame is older or newer than 60 s: look at the clocks")]
    Stale,
}

impl AuthFrame {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`AuthError::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self, AuthError> {
        let (length, rest) = payload.split_first_chunk::<4>().ok_or(AuthError::Malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| AuthError::Malformed)?;
        let (token, rest) = rest.split_at_checked(length).ok_or(AuthError::Malformed)?;
        let (client_id, mut rest) = rest
            .split_first_chunk::<CLIENT_ID>()
            .ok_or(AuthError::Malformed)?;
        let token = std::str::from_utf8(token).map_err(|_| AuthError::Malformed)?;
        let timestamp = rest.try_get_u64().map_err(|_| AuthError::Malformed)?;
        if !rest.is_empty() {
            return Err(AuthError::Malformed);
        }
        Ok(Self {
            token: Secret::from(token),
            client_id: *client_id,
            timestamp,
        })
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> BytesMut {
        let token = self.token.expose().as_bytes();
        let mut payload = BytesMut::with_capacity(4 + token.len() + CLIENT_ID + 8);
        payload.put_u32(u32::try_from(token.len()).unwrap_or(u32::MAX));
        payload.put_slice(token);
        payload.put_slice(&self.client_id);
        payload.put_u64(self.timestamp);
        payload
    }

    /// Whether it was written now.
    ///
    /// # Errors
    /// [`AuthError::Stale`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), AuthError> {
        let now = u64::try_from(now.as_secs()).unwrap_or(0);
        if now.abs_diff(self.timestamp) <= CLOCK_SKEW {
            Ok(())
        } else {
            Err(AuthError::Stale)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(timestamp: u64) -> AuthFrame {
        AuthFrame {
            token: Secret::from("abc"),
            client_id: [7; 16],
            timestamp,
        }
    }

    #[test]
    fn the_layout_is_that_of_the_contract() {
        let payload = auth(0x0102).encode();
        let expected = [&b"\0\0\0\x03abc"[..], &[7; 16], &[0, 0, 0, 0, 0, 0, 1, 2]].concat();
        assert_eq!(payload, expected);
        let read = AuthFrame::decode(&payload).ok().unwrap();
        assert!(read.token.matches(b"abc"));
        assert_eq!((read.client_id, read.timestamp), ([7; 16], 0x0102));
    }

    #[test]
    fn wt_01_a_token_length_that_lies_is_refused() {
        let good = auth(1).encode().to_vec();
        for length in [0, 2, 4, 27, 28, 1 << 31, u32::MAX] {
            let mut bytes = good.clone();
            bytes[..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(
                AuthFrame::decode(&bytes).err(),
                Some(AuthError::Malformed),
                "{length}"
            );
        }
        for end in 0..good.len() {
            assert!(AuthFrame::decode(&good[..end]).is_err(), "{end} bytes");
        }
        assert!(
            AuthFrame::decode(&[&good[..], b"x"].concat()).is_err(),
            "a byte more"
        );
        let mut text = good;
        text[4] = 0xff;
        assert!(AuthFrame::decode(&text).is_err(), "not UTF-8");
    }

    #[test]
    fn its_time_may_be_sixty_seconds_off_and_no_second_more() {
        let now = Timestamp::from_secs(1_000_000);
        for (timestamp, fine) in [
            (1_000_000, true),
            (999_940, true),
            (1_000_060, true),
            (999_939, false),
            (1_000_061, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(auth(timestamp).check_time(now).is_ok(), fine, "{timestamp}");
        }
    }

    #[test]
    fn a_version_is_agreed_on_where_ours_is_offered() {
        let table = [
            (
                r#"{"min_version":1,"max_version":1,"preferred_version":1,"supported_versions":[1]}"#,
                true,
            ),
            (r#"{"min_version":1,"max_version":3,"preferred_version":3}"#, true),
            (
                r#"{"min_version":1,"max_version":3,"preferred_version":3,"supported_versions":[2,3]}"#,
                false,
            ),
            (
                r#"{"min_version":2,"max_version":3,"preferred_version":3}"#,
                false,
            ),
            (
                r#"{"min_version":3,"max_version":0,"preferred_version":1}"#,
                false,
            ),
        ];
        for (text, expected) in table {
            let versions: Versions = serde_json::from_str(text).unwrap();
            assert_eq!(versions.include_ours(), expected, "{text}");
        }
        assert!(Versions::ours().include_ours());
    }
}
