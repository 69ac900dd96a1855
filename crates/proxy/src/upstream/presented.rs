//! What a server is told of the client: never more than the client said, never who it is to us.

use bytes::Bytes;
use sallyport_core::PrincipalKey;
use sallyport_mcp::capabilities::ClientCapabilities;
use sallyport_mcp::meta::{MetaFor, rewrite};
use sallyport_mcp::method::Method;
use sallyport_mcp::render::implementation;
use sallyport_mcp::{Era, Revision, json};

use super::account::Account;
use crate::exchange::ClientView;

/// How a client is presented to a server.
#[derive(Clone, Debug)]
pub(crate) struct Presented {
    /// The legacy revision to ask for: the client's own where it has one, so that the server answers what the client
    /// understands.
    pub(crate) revision: Revision,
    /// `clientInfo`: a raw object.
    pub(crate) info: Bytes,
    /// What it can do.
    pub(crate) declared: Declared,
    /// The account that it is called with, where it wants one; the gateway's choice where it is the gateway.
    pub(crate) account: Option<Account>,
    /// Who it is to us: whose process is started for it. No server is told.
    pub(crate) owner: PrincipalKey,
}

/// The capabilities that a server was told of.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    capabilities: ClientCapabilities,
    /// As it is sent.
    raw: Bytes,
}

impl Declared {
    fn of(raw: &[u8], server: Era, client: Era) -> Self {
        let capabilities = ClientCapabilities::parse(raw);
        let raw = capabilities.for_server(server, client).into();
        Self { capabilities, raw }
    }

    /// Whether the server may ask this of the client.
    pub(crate) fn allows(&self, method: Method, params: Option<&[u8]>) -> bool {
        self.capabilities.allow(method, params)
    }

    /// As it is sent to servers, in one spelling for all who declare the same.
    pub(crate) fn spelled_as_one(&self) -> Bytes {
        json::canonical(&self.raw).map_or_else(|| self.raw.clone(), Bytes::from)
    }

    /// Whether the server can have any question for the client.
    pub(crate) fn is_empty(&self) -> bool {
        self.capabilities.profile().is_empty()
    }
}

impl Presented {
    /// The client itself, to a server that is spoken to in the era `server`.
    pub(crate) fn client(view: &ClientView, server: Era) -> Self {
        let revision = match view.revision.era() {
            Era::Legacy => view.revision,
            Era::Modern => Revision::NEWEST_LEGACY,
        };
        Self {
            revision,
            info: view.info.clone().unwrap_or_else(own_info),
            declared: Declared::of(&view.capabilities, server, view.revision.era()),
            account: None,
            owner: view.principal.clone(),
        }
    }

    /// The gateway on its own behalf: it can be asked nothing.
    pub(crate) fn gateway() -> Self {
        Self {
            revision: Revision::NEWEST_LEGACY,
            info: own_info(),
            declared: Declared::of(b"{}", Era::Legacy, Era::Modern),
            account: None,
            owner: PrincipalKey::gateway(),
        }
    }

    /// The same, for a principal of ours.
    pub(crate) fn owned_by(self, owner: &PrincipalKey) -> Self {
        let owner = owner.clone();
        Self { owner, ..self }
    }

    /// The same, called with an account.
    pub(crate) fn with(self, account: Option<Account>) -> Self {
        Self { account, ..self }
    }

    /// The parameters of `initialize`.
    pub(crate) fn initialize_params(&self) -> Bytes {
        let mut params = Vec::with_capacity(128 + self.info.len() + self.declared.raw.len());
        params.extend_from_slice(b"{\"protocolVersion\":\"");
        params.extend_from_slice(self.revision.as_str().as_bytes());
        params.extend_from_slice(b"\",\"capabilities\":");
        params.extend_from_slice(&self.declared.raw);
        params.extend_from_slice(b",\"clientInfo\":");
        params.extend_from_slice(&self.info);
        params.extend_from_slice(b"}");
        params.into()
    }

    /// Parameters as a modern server wants them.
    pub(crate) fn modern_params(
        &self,
        params: &[u8],
        log_level: Option<sallyport_mcp::log::LogLevel>,
    ) -> Bytes {
        let to = MetaFor::Modern {
            version: Revision::NEWEST_MODERN,
            client_info: Some(&self.info),
            capabilities: &self.declared.raw,
            log_level,
        };
        rewrite(params, to).into()
    }
}

fn own_info() -> Bytes {
    implementation("sallyport", Some("Sallyport"), env!("CARGO_PKG_VERSION")).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn view(revision: Revision, capabilities: &'static str) -> ClientView {
        ClientView {
            principal: PrincipalKey::gateway(),
            session: Some(Arc::from("secret-session")),
            lasting: None,
            revision,
            info: Some(Bytes::from_static(b"{\"name\":\"c\",\"version\":\"1\"}")),
            capabilities: Bytes::from_static(capabilities.as_bytes()),
        }
    }

    #[test]
    fn a_legacy_client_is_presented_with_its_own_words() {
        let view = view(Revision::V2025_06_18, r#"{"roots":{},"tasks":{},"x":1}"#);
        let params = Presented::client(&view, Era::Legacy).initialize_params();
        assert_eq!(
            params,
            r#"{"protocolVersion":"2025-06-18","capabilities":{"roots":{},"x":1},"clientInfo":{"name":"c","version":"1"}}"#
        );
    }

    #[test]
    fn a_modern_client_asks_a_legacy_server_for_the_newest_legacy_revision() {
        let presented = Presented::client(&view(Revision::V2026_07_28, "{}"), Era::Legacy);
        assert_eq!(presented.revision, Revision::V2025_11_25);
        assert!(presented.declared.is_empty());
        assert!(!presented.declared.allows(Method::RootsList, None));
    }

    #[test]
    fn uc_01_nothing_else_of_the_client_is_told() {
        let presented = Presented::client(&view(Revision::V2025_06_18, "{}"), Era::Modern);
        let told = presented.modern_params(b"{\"name\":\"t\"}", None);
        let both = [presented.initialize_params(), told].concat();
        assert!(!String::from_utf8_lossy(&both).contains("secret-session"));
    }
}
