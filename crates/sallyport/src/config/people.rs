//! `auth.github`, `auth.oidc`, `auth.allow_users`, `auth.admins`: people of identity providers.

use std::borrow::Cow;
use std::net::IpAddr;

use sallyport_oauth::provider::admission::{Entry, GITHUB, is_provider_name};
use sallyport_oauth::provider::github::Github;
use sallyport_oauth::provider::oidc::Provider;
use sallyport_oauth::provider::{Admission, Preset};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::auth::Auth;
use super::problem::Collector;
use super::read::{Context, Fields, Read, choice, section, shown};
use super::table::Key;
use super::tree::{Node, Place};
use super::value::{Located, Sensitive, Text, WebUrl};

section! {
    /// Log-in through GitHub, with an OAuth app whose callback is `PUBLIC_URL/callback/github`.
    GithubApp {
        /// The client id of the OAuth app.
        client_id: Option<Text> = None;
        /// Its client secret.
        client_secret: Option<Sensitive> = None;
        /// Where people log in: GitHub, or the address of a GitHub Enterprise.
        base_url: Option<WebUrl> = None;
        /// The REST API. Absent: the one that belongs to `base_url`.
        api_url: Option<WebUrl> = None;
    }
    checked by check_github;
}

section! {
    /// Log-in through an OpenID Connect provider, whose redirect URI for us is `PUBLIC_URL/callback/NAME`.
    OidcProvider {
        /// Whose ways it has.
        preset: Option<PresetName> = None;
        /// The issuer, as the provider itself writes it. Google's need not be named.
        issuer: Option<Located<Text>> = None;
        /// The client id.
        client_id: Option<Text> = None;
        /// The client secret; without, a public client.
        client_secret: Option<Sensitive> = None;
        /// What the button on the log-in page says. Absent: the provider's own name, or this one's.
        label: Option<Text> = None;
        /// The scopes that are asked for. Absent: `openid`, `profile` and `email`; from Okta also `groups`.
        scopes: Option<Vec<String>> = None;
        /// The claim that holds a person's groups. Absent: `groups`; Google's is `hd`, the Workspace domain.
        groups_claim: Option<String> = None;
        /// Whether it may vouch for its people to clients (identity assertion authorization grants, the enterprise-managed
        /// authorization of MCP): a client that shows its assertion gets a token without a page.
        identity_assertions: bool = false;
    }
    checked by check_oidc;
}

choice! {
    /// A provider whose ways are known.
    PresetName {
        /// Microsoft Entra ID, one tenant.
        Entra = "entra",
        /// Okta.
        Okta = "okta",
        /// Google accounts and Workspace.
        Google = "google",
        /// Keycloak, one realm.
        Keycloak = "keycloak",
        /// authentik, one application.
        Authentik = "authentik",
    }
}

/// The name of an OpenID provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderName(String);

impl Key for ProviderName {
    const KIND: &'static str = "provider";
    fn parse(text: &str) -> Result<Self, String> {
        if is_provider_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{}` cannot be the name of a provider; write 1 to 32 of a-z, 0-9 and `-`, beginning with a letter, and \
             none of github, local, client, user, role, admin, group, org, team, id",
            shown(text)
        ))
    }
    fn text(&self) -> &str {
        &self.0
    }
}

/// An entry of a list of people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person(Entry);

impl Read for Person {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let scalar = cx.scalar(node, "a person, a group or `\"*\"`")?;
        match Entry::parse(&scalar.text) {
            Ok(entry) => Some(Self(entry)),
            Err(error) => cx.refuse(node, error.to_string()),
        }
    }
}

impl Serialize for Person {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Person {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Person".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

/// A list of people as the rules take it.
#[must_use]
pub fn admission(people: &[Located<Person>]) -> Admission {
    Admission::new(people.iter().map(|person| person.value.0.clone()).collect())
}

impl PresetName {
    fn preset(self) -> Preset {
        match self {
            Self::Entra => Preset::Entra,
            Self::Okta => Preset::Okta,
            Self::Google => Preset::Google,
            Self::Keycloak => Preset::Keycloak,
            Self::Authentik => Preset::Authentik,
        }
    }
}

impl GithubApp {
    /// As the rules take it; `None` where something is missing, which [`check_github`] has told.
    #[must_use]
    pub fn github(&self, organisations: bool) -> Option<Github> {
        let cloud = || url::Url::parse("https://github.com").ok();
        let base = match &self.base_url {
            Some(base) => base.url.clone(),
            None => cloud()?,
        };
        Some(Github {
            api: self
                .api_url
                .as_ref()
                .map_or_else(|| Github::api_of(&base), |api| api.url.clone()),
            base,
            client_id: self.client_id.as_ref()?.value.clone(),
            client_secret: self.client_secret.as_ref()?.value.clone(),
            organisations,
        })
    }
}

impl OidcProvider {
    fn preset(&self) -> Preset {
        self.preset.map(PresetName::preset).unwrap_or_default()
    }

    /// As the rules take it; `None` where something is missing, which [`check_oidc`] has told.
    #[must_use]
    pub fn provider(&self, name: &ProviderName) -> Option<Provider> {
        let preset = self.preset();
        let issuer = self.issuer.as_ref().map(|issuer| issuer.value.value.clone());
        let label = self.label.as_ref().map(|label| label.value.clone());
        let mut scopes = self
            .scopes
            .clone()
            .unwrap_or_else(|| preset.scopes().iter().map(|scope| (*scope).to_owned()).collect());
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        Some(Provider {
            name: name.0.clone(),
            label: label
                .or_else(|| preset.label().map(str::to_owned))
                .unwrap_or_else(|| name.0.clone()),
            issuer: issuer.or_else(|| preset.issuer().map(str::to_owned))?,
            client_id: self.client_id.as_ref()?.value.clone(),
            client_secret: self.client_secret.as_ref().map(|secret| secret.value.clone()),
            preset,
            scopes,
            groups_claim: self
                .groups_claim
                .clone()
                .unwrap_or_else(|| preset.groups_claim().to_owned()),
            vouches: self.identity_assertions,
        })
    }
}

fn check_github(app: &GithubApp, place: Place, _: &Fields<'_>, problems: &mut Collector) {
    if app.client_id.is_none() || app.client_secret.is_none() {
        problems.add(
            place,
            "an OAuth app of GitHub has a `client_id` and a `client_secret`; write both, the secret as `${env:NAME}`",
        );
    }
    for url in [&app.base_url, &app.api_url].into_iter().flatten() {
        if !is_safe(&url.url) {
            problems.add(
                place,
                format!("{url} is not https; secrets would cross the network in the clear"),
            );
        }
    }
}

fn check_oidc(provider: &OidcProvider, place: Place, _: &Fields<'_>, problems: &mut Collector) {
    if provider.client_id.is_none() {
        problems.add(
            place,
            "a provider knows us by a `client_id`; write the one that it gave to this gateway",
        );
    }
    let Some(issuer) = &provider.issuer else {
        if provider.preset().issuer().is_none() {
            problems.add(
                place,
                "a provider has an `issuer`; write it as the provider's documentation does",
            );
        }
        return;
    };
    let url = match url::Url::parse(&issuer.value.value) {
        Ok(url) if url.host().is_some() && url.query().is_none() && url.fragment().is_none() => url,
        _ => {
            problems.add(
                issuer.place,
                "an issuer is a URL without a query; write `https://HOST/…`",
            );
            return;
        }
    };
    if !is_safe(&url) {
        problems.add(
            issuer.place,
            "an issuer is https; only on loopback it may be http",
        );
    }
    if let Err(mend) = provider.preset().check_issuer(&url) {
        problems.add(issuer.place, mend);
    }
}

/// https, or a place on this machine.
fn is_safe(url: &url::Url) -> bool {
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && local
}

/// What the lists of people say, against the providers that there are.
pub(super) fn check(auth: &Auth, problems: &mut Collector) {
    let known = |provider: &str| match provider {
        GITHUB => auth.github.is_some(),
        other => auth.oidc.get(other).is_some(),
    };
    for person in auth.allow_users.iter().chain(&auth.admins) {
        let Some(provider) = person.value.0.provider().filter(|provider| !known(provider)) else {
            continue;
        };
        let mend = if provider == GITHUB {
            "configure `auth.github`, or write `PROVIDER:NAME` for somebody of another provider".to_owned()
        } else {
            format!("configure `auth.oidc.{provider}`, or correct the name")
        };
        problems.add(person.place, format!("there is no provider `{provider}`; {mend}"));
    }
}

/// What is allowed and yet deserves a word at start.
pub(super) fn warnings(auth: &Auth) -> Vec<String> {
    let any = auth.github.is_some() || !auth.oidc.0.is_empty();
    let mut warnings = Vec::new();
    if any && auth.allow_users.is_empty() {
        warnings.push("auth.allow_users is empty: nobody of an identity provider can log in".to_owned());
    }
    let open = auth
        .allow_users
        .iter()
        .any(|person| person.value.0 == Entry::Everybody);
    let google = auth
        .oidc
        .iter()
        .any(|row| row.value.value.preset == Some(PresetName::Google));
    if open && (auth.github.is_some() || google) {
        warnings
            .push("auth.allow_users is `*`: everybody with an account at the provider can log in".to_owned());
    }
    warnings
}
