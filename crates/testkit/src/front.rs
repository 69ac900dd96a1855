//! The front of a gateway, however it runs: where clients and browsers go.

use std::net::SocketAddr;

use crate::browser::Browser;
use crate::http::Connection;
use crate::mcp::Endpoint;
use crate::oauth::{OauthClient, Tokens};

/// The password of every account that the testkit makes.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// The address and the public origin of a gateway.
#[derive(Clone, Debug)]
pub struct Front {
    address: SocketAddr,
    host: String,
}

impl Front {
    /// A gateway that listens on `address` and whose public origin is just that.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
        }
    }

    /// A connection to the gateway.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.address, &self.host).await
    }

    /// A browser without cookies.
    ///
    /// # Errors
    /// Never, as long as the origin is a URL.
    pub fn browser(&self) -> anyhow::Result<Browser> {
        Browser::new(self.address, &self.origin())
    }

    /// A freshly registered client.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn client(&self) -> anyhow::Result<OauthClient> {
        OauthClient::register(self.address, &self.host).await
    }

    /// Tokens of `user` for the profile `slug`, by the whole way of a new client in a new browser.
    ///
    /// # Errors
    /// At the first step that fails.
    pub async fn log_in(&self, user: &str, slug: &str) -> anyhow::Result<Tokens> {
        let client = self.client().await?;
        let mut browser = self.browser()?;
        client
            .log_in(&mut browser, &self.resource(slug), (user, PASSWORD))
            .await
    }

    /// Where an MCP client with `token` goes for the profile `slug`.
    #[must_use]
    pub fn endpoint(&self, slug: &str, token: &str) -> Endpoint {
        Endpoint {
            address: self.address,
            host: self.host.clone(),
            path: path(slug),
            token: Some(token.to_owned()),
        }
    }

    /// The URL of the profile `slug`, which is also its resource (RFC 8707).
    #[must_use]
    pub fn resource(&self, slug: &str) -> String {
        format!("{}{}", self.origin(), path(slug))
    }

    /// The public origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The `Host` header of requests to it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of the main listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The path of the profile `slug`.
#[must_use]
pub fn path(slug: &str) -> String {
    if slug == "default" {
        "/mcp".to_owned()
    } else {
        format!("/mcp/{slug}")
    }
}
