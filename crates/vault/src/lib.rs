//! All cryptography of Sallyport: the master key, sealing and opening, keyed derivation, passwords, signing and verifying
//! of access tokens. No other crate touches a key.
//!
//! | part | what it makes |
//! | --- | --- |
//! | [`source`] | the master keys, from a file that only the gateway can read or from values |
//! | [`Ring`] | which master key seals, and what the others open |
//! | [`Vault`] | sealed secrets and sealed state (AES-256-GCM-SIV, RFC 8452), keyed hashes (HMAC-SHA-256) |
//! | [`password`] | Argon2id hashes (RFC 9106) |
//! | [`signing`] | signing keys and RFC 9068 access tokens |
//! | [`verifier`] | the one place where an access token is believed |
#![forbid(unsafe_code)]

mod envelope;
mod error;
mod keys;
pub mod password;
mod random;
mod ring;
mod root;
mod seal;
pub mod signing;
pub mod source;
pub mod verifier;

pub use error::KeyError;
pub use keys::{KeyId, MasterKey};
pub use random::SystemRandom;
pub use ring::{FormerKey, MasterKeys, Ring};
pub use root::HashRoot;
pub use seal::Vault;
