//! Keys that are registered for the gateway elsewhere, and what it signs with them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sallyport_core::Secret;
use sallyport_core::capability::{SignError, SignStatement};

use super::key::{Alg, Pair};
use crate::KeyError;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The algorithms, of which a private key has one.
const ALGORITHMS: [Alg; 3] = [Alg::Es256, Alg::EdDsa, Alg::Rs256];

/// A private key that shows who the gateway is (`private_key_jwt`).
pub struct StatementKey {
    pair: Pair,
    header: String,
}

impl StatementKey {
    /// Reads a private key in PEM (RFC 7468 §10): P-256 for ES256, Ed25519 for EdDSA, RSA of 2048 bits or more for RS256.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] for anything else.
    pub fn from_pem(pem: &Secret<String>) -> Result<Self, KeyError> {
        let (_, rest) = pem.expose().split_once(BEGIN).ok_or(KeyError::SigningKey)?;
        let (body, _) = rest.split_once(END).ok_or(KeyError::SigningKey)?;
        let body: Secret<String> = Secret::new(body.split_ascii_whitespace().collect());
        let der = STANDARD.decode(body.expose()).map_err(|_| KeyError::SigningKey)?;
        let der = Secret::new(der);
        let found = ALGORITHMS
            .into_iter()
            .find_map(|alg| Some((alg, Pair::new(alg, &der).ok()?)));
        let (alg, pair) = found.ok_or(KeyError::SigningKey)?;
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, alg.as_str());
        Ok(Self {
            pair,
            header: URL_SAFE_NO_PAD.encode(header),
        })
    }
}

impl SignStatement for StatementKey {
    fn sign_statement(&self, claims: &str) -> Result<Secret<String>, SignError> {
        let mut statement = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(statement.as_bytes()).ok_or(SignError)?;
        statement.push('.');
        URL_SAFE_NO_PAD.encode_string(&*signature, &mut statement);
        Ok(Secret::new(statement))
    }
}

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::Timestamp;

    use super::*;
    use crate::signing::SigningKey;

    fn pem(der: &[u8]) -> Secret<String> {
        let body = STANDARD.encode(der);
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).expect("ASCII"))
            .collect();
        Secret::new(format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")))
    }

    #[test]
    fn a_key_of_each_kind_signs_as_its_algorithm_says() {
        for alg in ALGORITHMS {
            let key = SigningKey::generate(alg, Timestamp::from_secs(0)).expect("a key");
            let signer = StatementKey::from_pem(&pem(key.secret().expose())).expect("the same key");
            let statement = signer.sign_statement(r#"{"iss":"c"}"#).expect("a statement");
            let parts: Vec<&str> = statement.expose().split('.').collect();
            let [header, claims, signature] = parts[..] else {
                panic!("three parts")
            };
            let text =
                |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("text");
            assert_eq!(
                text(header),
                format!(r#"{{"alg":"{}","typ":"JWT"}}"#, alg.as_str())
            );
            assert_eq!(text(claims), r#"{"iss":"c"}"#);
            let signed = format!("{header}.{claims}");
            let decoding = key.verifying().decoding().expect("its public half");
            let algorithm = alg.as_str().parse().expect("an algorithm");
            let good = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &decoding, algorithm);
            assert!(good.expect("a signature"), "{alg:?}");
        }
    }

    #[test]
    fn what_is_no_private_key_is_none() {
        for none in [
            "",
            "secret",
            BEGIN,
            "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ] {
            assert!(StatementKey::from_pem(&Secret::from(none)).is_err(), "{none}");
        }
    }
}
