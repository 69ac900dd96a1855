//! `auth`: who may log in, and what tokens are like.

use super::read::{choice, section};
use super::value::{Located, Period};

section! {
    /// Who may log in, and what tokens are like.
    Auth {
        /// `oauth`: clients need a token of this gateway. `none`: everyone who reaches the address may call; refused
        /// unless `listen` is a loopback address.
        mode: Located<Mode> = Located { place: super::tree::Place::START, value: Mode::Oauth };
        /// The tokens.
        tokens: Tokens = Tokens::default();
        /// Whether clients may register themselves (RFC 7591).
        dynamic_registration: bool = true;
        /// How long a client that registered itself is kept after it was used last, and how long the token of its
        /// registration is good (RFC 7592); `0s` is for ever.
        client_lifetime: Period = Period::secs(90 * 86_400), within Period::secs(0)..=Period::secs(3660 * 86_400);
        /// The private-use URI schemes that public clients may redirect to (RFC 8252 §7.1). Absent: the shipped list.
        private_schemes: Option<Vec<String>> = None;
    }
}

choice! {
    /// How callers are known.
    Mode {
        /// By an access token of this gateway.
        Oauth = "oauth",
        /// Not at all; only on a loopback address.
        None = "none",
    }
}

section! {
    /// What tokens are like.
    Tokens {
        /// How long an access token is good.
        access_ttl: Period = Period::secs(900), within Period::secs(60)..=Period::secs(86_400);
        /// How long a refresh token is good if it is not used.
        refresh_ttl: Period = Period::secs(30 * 86_400), within Period::secs(600)..=Period::secs(366 * 86_400);
        /// The age at which a login ends whatever happens.
        refresh_absolute: Period = Period::secs(180 * 86_400), within Period::secs(600)..=Period::secs(3660 * 86_400);
        /// The signature algorithm.
        alg: Algorithm = Algorithm::Es256;
    }
}

choice! {
    /// The signature algorithm of access tokens.
    Algorithm {
        /// ECDSA over P-256 with SHA-256.
        Es256 = "ES256",
    }
}
