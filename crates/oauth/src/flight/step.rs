//! What can be seen of a log-in: one closed set of steps, each with shapes and numbers only.

use std::net::IpAddr;

use sallyport_core::{ClientId, GrantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use super::shape::{Agent, Difference, Fingerprint, Place};
use crate::client_document::is_document;
use crate::display;
use crate::model::{AuthMethod, Client};
use crate::params::Params;

/// The most redirect URIs of a client that are shown.
const SHOWN_REDIRECTS: usize = 6;

/// A well-known document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// RFC 9728.
    ProtectedResource,
    /// RFC 8414.
    AuthorizationServer,
    /// OpenID Connect Discovery.
    OpenidConfiguration,
    /// Another one below `/.well-known`.
    Unknown,
}

/// Where something was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// An MCP endpoint.
    Mcp,
    /// `/register`.
    Registration,
    /// The document that describes the client.
    Document,
    /// `/authorize`.
    Authorization,
    /// The pages on which a person logs in and consents.
    Person,
    /// `/token`.
    Token,
    /// `/par`.
    Pushed,
    /// `/device_authorization`.
    Device,
    /// The way through an identity provider.
    Provider,
}

/// Who a client is, as far as this gateway knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "known")]
pub enum Named {
    /// By a registration.
    Registered {
        /// The id that this gateway gave.
        id: Place,
        /// The name that the client gave.
        name: Option<String>,
    },
    /// By its document.
    Document {
        /// The document's URL.
        url: Place,
        /// The name that the document gives.
        name: Option<String>,
    },
}

impl Named {
    /// A client that was found.
    #[must_use]
    pub fn of(client: &Client) -> Self {
        let name = display::client_name(client);
        let place = Place::of(client.id.as_str());
        if is_document(&client.id) {
            Self::Document { url: place, name }
        } else {
            Self::Registered { id: place, name }
        }
    }

    /// What people call it.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Registered { id: place, name } | Self::Document { url: place, name } => {
                name.as_deref().unwrap_or(place.as_str())
            }
        }
    }
}

/// One thing that was seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", tag = "step")]
pub enum Step {
    /// 401 at an MCP endpoint, with where to log in.
    Challenged {
        /// The endpoint.
        endpoint: Place,
        /// What was wrong with the request.
        rule: Rule,
    },
    /// A document was asked for.
    Discovery {
        /// Which.
        document: Document,
        /// Whether it is there, in the spelling that was asked for.
        found: bool,
    },
    /// The client registered itself.
    Registered {
        /// Its redirect URIs.
        redirects: Vec<Place>,
        /// How it will authenticate.
        method: AuthMethod,
    },
    /// A valid authorization request.
    Asked {
        /// Where the answer shall go.
        redirect: Place,
        /// Whether there is a `state`.
        state: bool,
        /// Whether the resource was named.
        resource: bool,
        /// Whether scopes were named.
        scope: bool,
    },
    /// The person was shown where to log in.
    LoginShown,
    /// The person has logged in.
    LoggedIn,
    /// The person was asked.
    ConsentShown,
    /// The person said yes, now or before.
    Allowed {
        /// Before.
        remembered: bool,
    },
    /// Tokens were given for a code.
    Issued {
        /// Whether with a refresh token.
        renewable: bool,
    },
    /// Tokens were given for a refresh token.
    Renewed,
    /// An access token was used for the first time.
    Used,
    /// Something was refused.
    Refused(Refused),
}

/// A refusal: where, by which rule, and what helps to mend it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Where.
    pub point: Point,
    /// By which rule.
    pub rule: Rule,
    /// The redirect URI that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Place>,
    /// Those that are registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registered: Vec<Place>,
    /// How they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<Difference>,
}

impl Refused {
    /// A refusal without more.
    #[must_use]
    pub fn at(point: Point, rule: impl Into<Rule>) -> Self {
        Self {
            point,
            rule: rule.into(),
            asked: None,
            registered: Vec::new(),
            differs: None,
        }
    }

    /// With the redirect URI that was asked for, and those that the client has.
    #[must_use]
    pub fn redirect(self, asked: &str, registered: &[String]) -> Self {
        Self {
            asked: Some(Place::of(asked)),
            registered: places(registered),
            differs: Difference::between(asked, registered),
            ..self
        }
    }
}

impl From<Refused> for Step {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Redirect URIs as they are shown.
#[must_use]
pub fn places(uris: &[String]) -> Vec<Place> {
    uris.iter()
        .take(SHOWN_REDIRECTS)
        .map(|uri| Place::of(uri))
        .collect()
}

/// What tells which log-in a step belongs to. Each is better than those before it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keys {
    /// Who sent it: address and program.
    pub sender: Option<(IpAddr, Agent)>,
    /// The client.
    pub client: Option<Fingerprint>,
    /// How the client is called, once it was found.
    pub named: Option<Named>,
    /// The authorization request, by its client, redirect URI and challenge.
    pub request: Option<Fingerprint>,
    /// The grant.
    pub grant: Option<GrantId>,
}

impl Keys {
    /// With this client, whether it is known or not.
    #[must_use]
    pub fn client(self, id: &ClientId) -> Self {
        Self {
            client: Some(Fingerprint::of(&[id.as_str()])),
            ..self
        }
    }

    /// With a client that was found.
    #[must_use]
    pub fn named(self, client: &Client) -> Self {
        Self {
            named: Some(Named::of(client)),
            ..self.client(&client.id)
        }
    }

    /// With the authorization request of these values.
    #[must_use]
    pub fn request(self, client: &ClientId, redirect_uri: &str, challenge: &str) -> Self {
        Self {
            request: Some(Fingerprint::of(&[client.as_str(), redirect_uri, challenge])),
            ..self.client(client)
        }
    }

    /// With the authorization request that these parameters are, if they are one.
    #[must_use]
    pub fn params(self, params: &Params) -> Self {
        let one = |name| params.all(name).next();
        let Some(client) = one("client_id") else {
            return self;
        };
        // What was pushed before is not in it.
        if one("request_uri").is_some() {
            return self.client(&ClientId::new(client));
        }
        let challenge = one("code_challenge").unwrap_or_default();
        self.request(
            &ClientId::new(client),
            one("redirect_uri").unwrap_or_default(),
            challenge,
        )
    }

    /// With the grant.
    #[must_use]
    pub fn grant(self, grant: &GrantId) -> Self {
        Self {
            grant: Some(grant.clone()),
            ..self
        }
    }
}

/// A step, when it was seen, and what tells where it belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Where it belongs.
    pub keys: Keys,
    /// What.
    pub step: Step,
}
