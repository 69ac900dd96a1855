//! Who may log in through which identity providers.

use std::collections::BTreeSet;
use std::fmt;

use sallyport_core::UserId;
use sallyport_oauth::provider::admission::GITHUB;
use sallyport_oauth::provider::github::Github;
use sallyport_oauth::provider::{Admission, oidc};

/// The identity providers, and which of their people come in.
#[derive(Clone, Default)]
pub struct People {
    /// GitHub, if people log in there.
    pub github: Option<Github>,
    /// The OpenID providers, in the operator's order.
    pub oidc: Vec<oidc::Provider>,
    /// Who comes in.
    pub admission: Admission,
    /// Who of them administers the gateway.
    pub admins: Admission,
    /// Those who have come in before and would not any more: their sessions and tokens do not count.
    pub barred: BTreeSet<UserId>,
}

/// One provider.
#[derive(Clone, Copy)]
pub(crate) enum Provider<'a> {
    Github(&'a Github),
    Oidc(&'a oidc::Provider),
}

impl People {
    /// The providers in the order of the buttons.
    pub(crate) fn providers(&self) -> impl Iterator<Item = Provider<'_>> {
        let github = self.github.iter().map(Provider::Github);
        github.chain(self.oidc.iter().map(Provider::Oidc))
    }

    /// Whether a provider may vouch for its people to clients.
    pub(crate) fn has_vouchers(&self) -> bool {
        self.oidc.iter().any(|provider| provider.vouches)
    }

    /// The provider that may vouch as this issuer.
    pub(crate) fn voucher(&self, issuer: &str) -> Option<&oidc::Provider> {
        let mut vouching = self.oidc.iter().filter(|provider| provider.vouches);
        vouching.find(|provider| provider.issuer == issuer)
    }

    /// The provider of that name.
    pub(crate) fn provider(&self, name: &str) -> Option<Provider<'_>> {
        self.providers().find(|provider| provider.name() == name)
    }
}

impl<'a> Provider<'a> {
    /// Its name in the configuration and in URLs.
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Github(_) => GITHUB,
            Self::Oidc(provider) => &provider.name,
        }
    }

    /// What people call it.
    pub(crate) fn label(self) -> &'a str {
        match self {
            Self::Github(_) => "GitHub",
            Self::Oidc(provider) => &provider.label,
        }
    }
}

impl fmt::Debug for People {
    /// Names only: the providers hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.providers().map(Provider::name).collect();
        f.debug_struct("People")
            .field("providers", &names)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
