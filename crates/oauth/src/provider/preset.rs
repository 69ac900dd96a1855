//! How the providers that many people use differ from the standard, and from each other.

use url::Url;

/// A provider whose ways are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Preset {
    /// None in particular.
    #[default]
    Plain,
    /// Microsoft Entra ID, one tenant.
    Entra,
    /// Okta, with its own or a custom authorization server.
    Okta,
    /// Google accounts and Workspace.
    Google,
    /// Keycloak, one realm.
    Keycloak,
    /// authentik, one application.
    Authentik,
}

impl Preset {
    /// What the button on the log-in page says.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Entra => Some("Microsoft"),
            Self::Okta => Some("Okta"),
            Self::Google => Some("Google"),
            Self::Keycloak => Some("Keycloak"),
            Self::Authentik => Some("authentik"),
        }
    }

    /// The issuer that need not be written.
    #[must_use]
    pub fn issuer(self) -> Option<&'static str> {
        (self == Self::Google).then_some("https://accounts.google.com")
    }

    /// The scopes that are asked for. Okta tells groups only to those who ask for them; elsewhere the word may be unknown
    /// and spoil the request.
    #[must_use]
    pub fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Okta => &["openid", "profile", "email", "groups"],
            _ => &["openid", "profile", "email"],
        }
    }

    /// The claim with the person's unchangeable id. Entra's `sub` is another one for each application and is shown
    /// nowhere; its `oid` is the object id that administrators see.
    #[must_use]
    pub fn subject_claim(self) -> &'static str {
        match self {
            Self::Entra => "oid",
            _ => "sub",
        }
    }

    /// The claim with the groups. Google has none: the Workspace domain stands for one.
    #[must_use]
    pub fn groups_claim(self) -> &'static str {
        match self {
            Self::Google => "hd",
            _ => "groups",
        }
    }

    /// The claims that may name the person, in order. An `email` counts only if the provider has verified it.
    #[must_use]
    pub fn name_claims(self) -> &'static [&'static str] {
        match self {
            Self::Google => &["email"],
            _ => &["preferred_username", "email"],
        }
    }

    /// What makes the provider show its accounts although it knows one: `select_account`, or `login` where that word is
    /// not known.
    #[must_use]
    pub fn other_account(self) -> &'static str {
        match self {
            Self::Entra | Self::Google => "select_account",
            _ => "login",
        }
    }

    /// What is wrong with an issuer of this provider, with the mend.
    ///
    /// # Errors
    /// The mend.
    pub fn check_issuer(self, issuer: &Url) -> Result<(), &'static str> {
        let path = issuer.path();
        let segment = |nth| path.split('/').nth(nth).unwrap_or_default();
        match self {
            Self::Entra if matches!(segment(1), "common" | "organizations" | "consumers") => Err(
                "this issuer stands for every tenant; write `https://login.microsoftonline.com/YOUR-TENANT-ID/v2.0`",
            ),
            Self::Entra if segment(2) != "v2.0" => {
                Err("write `https://login.microsoftonline.com/YOUR-TENANT-ID/v2.0`, with `/v2.0` at the end")
            }
            Self::Keycloak if !path.contains("/realms/") => {
                Err("write the address of a realm, `https://HOST/realms/NAME`")
            }
            Self::Authentik if !path.contains("/application/o/") || !path.ends_with('/') => Err(
                "write the address of the application, `https://HOST/application/o/SLUG/`, with the slash at the end",
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_have_the_shape_of_their_provider() {
        let table = [
            (
                Preset::Entra,
                "https://login.microsoftonline.com/common/v2.0",
                false,
            ),
            (Preset::Entra, "https://login.microsoftonline.com/8f3a/", false),
            (Preset::Entra, "https://login.microsoftonline.com/8f3a/v2.0", true),
            (Preset::Keycloak, "https://sso.test/", false),
            (Preset::Keycloak, "https://sso.test/realms/staff", true),
            (Preset::Authentik, "https://sso.test/application/o/gateway", false),
            (Preset::Authentik, "https://sso.test/application/o/gateway/", true),
            (Preset::Okta, "https://acme.okta.com", true),
            (Preset::Google, "https://accounts.google.com", true),
            (Preset::Plain, "https://sso.test/common/v2.0", true),
        ];
        for (preset, issuer, good) in table {
            let url = Url::parse(issuer).unwrap();
            assert_eq!(preset.check_issuer(&url).is_ok(), good, "{preset:?} {issuer}");
        }
    }
}
