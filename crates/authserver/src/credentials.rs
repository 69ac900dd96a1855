//! How bearer secrets are made and under which hashes they are kept. Each kind has a label of its own, so that none can
//! stand for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::DeriveKeyed;
use sallyport_core::random::token;
use sallyport_core::{GrantId, Random, Secret};
use sallyport_oauth::management::PREFIX;
use sallyport_oauth::model::Digest;
use sallyport_store::RegistrationToken;

use crate::app::Parts;
use crate::context::Context;

/// A kind of bearer secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Session,
    Setup,
    ClientSecret,
    Code,
    Refresh,
    /// The `jti` of a statement that a client has signed: no secret, but a stranger's text.
    Assertion,
    Registration,
    /// The name of a pushed request.
    Pushed,
    /// What a device polls with.
    DeviceCode,
    /// What a person types for it.
    UserCode,
    /// The `state` of a log-in through a provider.
    LoginState,
    /// The browser that began it.
    LoginBrowser,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Session => "browser-session",
            Self::Setup => "setup-link",
            Self::ClientSecret => "client-secret",
            Self::Code => "authorization-code",
            Self::Refresh => "refresh-token",
            Self::Assertion => "client-assertion",
            Self::Registration => "registration-token",
            Self::Pushed => "pushed-request",
            Self::DeviceCode => "device-code",
            Self::UserCode => "user-code",
            Self::LoginState => "login-state",
            Self::LoginBrowser => "login-browser",
        }
    }
}

/// A new secret for a client that the operator registers, and the hash that is kept of it.
#[must_use]
pub fn client_secret(derive: &dyn DeriveKeyed, random: &dyn Random) -> (Secret<String>, Digest) {
    let secret = Secret::new(token::<32>(random));
    let digest = derive.derive(Kind::ClientSecret.label(), secret.expose().as_bytes());
    (secret, digest)
}

/// A new token for a client's registration, and the hash that is kept of it (RFC 7592).
#[must_use]
pub fn registration_token(derive: &dyn DeriveKeyed, random: &dyn Random) -> (Secret<String>, Digest) {
    let secret = Secret::new(format!("{PREFIX}{}", token::<32>(random)));
    let digest = derive.derive(Kind::Registration.label(), secret.expose().as_bytes());
    (secret, digest)
}

impl Parts {
    /// A new secret of 256 bits and the hash that is kept of it.
    pub(crate) fn new_secret(&self, kind: Kind) -> (Secret<String>, Digest) {
        let secret = Secret::new(token::<32>(self.random.as_ref()));
        let digest = self.digest(kind, secret.expose().as_bytes());
        (secret, digest)
    }

    /// A new token for a client's registration, and what is kept of it.
    pub(crate) fn registration_token(&self, context: &Context) -> (Secret<String>, RegistrationToken) {
        let (token, digest) = registration_token(self.derive.as_ref(), self.random.as_ref());
        let lifetime = context.settings.client_lifetime;
        let expires = lifetime.map(|lifetime| context.now.plus(lifetime));
        (token, RegistrationToken { digest, expires })
    }

    /// The hash that a secret is kept under.
    pub(crate) fn digest(&self, kind: Kind, secret: &[u8]) -> Digest {
        self.derive.derive(kind.label(), secret)
    }

    /// The successor of a refresh token: the same one whenever it is asked for.
    pub(crate) fn successor(&self, refresh: &Secret<String>) -> (Secret<String>, Digest) {
        let bytes = self
            .derive
            .derive("refresh-successor", refresh.expose().as_bytes());
        let secret = Secret::new(URL_SAFE_NO_PAD.encode(bytes));
        let digest = self.digest(Kind::Refresh, secret.expose().as_bytes());
        (secret, digest)
    }

    /// The code and the grant's id that a yes to the page with this nonce makes: always the same ones, so that the
    /// store refuses a second grant even where two processes serve one browser.
    pub(crate) fn code_of(&self, nonce: &str) -> (Secret<String>, Digest, GrantId) {
        let code = Secret::new(URL_SAFE_NO_PAD.encode(self.derive.derive("consent-code", nonce.as_bytes())));
        let digest = self.digest(Kind::Code, code.expose().as_bytes());
        let id = self.derive.derive("consent-grant", nonce.as_bytes());
        let id: Vec<u8> = id.into_iter().take(16).collect();
        (code, digest, GrantId::new(URL_SAFE_NO_PAD.encode(id)))
    }
}
