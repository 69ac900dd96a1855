//! The keys at the top of the file.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::auth::Auth;
use super::egress::Egress;
use super::limits::Limits;
use super::lock::Lock;
use super::profiles::Profiles;
use super::protocol::Protocol;
use super::read::{Context, Read, choice, section};
use super::servers::Servers;
use super::tree::{Node, Place};
use super::value::{Address, FilePath, Located, WebUrl};

section! {
    /// The configuration of Sallyport.
    Root {
        /// The one origin that clients know: every document and redirect uses it, never the Host header. Absent: the
        /// address of `listen`.
        public_url: Option<Located<WebUrl>> = None;
        /// Whether `public_url` may be http on another machine than this one: passwords and tokens then cross the network in
        /// the clear.
        allow_insecure_public_url: bool = false;
        /// Where clients connect: MCP, OAuth and pages.
        listen: Located<Address> = local(8717);
        /// Where `/healthz`, `/readyz` and `/metrics` are.
        admin_listen: Located<Address> = local(8718);
        /// Where clients connect that speak the framed TCP protocol; off unless set. There is no TLS on it: beyond
        /// loopback, put a TLS proxy in front.
        tcp_listen: Option<Located<Address>> = None;
        /// Store, keys and audit trail; made with mode 0700. Absent: `$XDG_DATA_HOME/sallyport`, or
        /// `~/.local/share/sallyport`.
        data_dir: Option<FilePath> = None;
        /// What keeps the state.
        store: Store = Store::Sqlite;
        /// The proxies whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<Network> = Vec::new();
        /// Web origins that browsers may call from, besides `public_url` and, on loopback, loopback origins.
        allowed_origins: Vec<Origin> = Vec::new();
        /// Threads that serve requests; 0 means one for each core.
        workers: usize = 0, within 0..=256;
        /// The MCP servers behind the gateway; `mcpServers` is read as the same key.
        servers: Servers = Servers::default();
        /// The virtual MCP servers that clients see. Absent: `default`, with every server.
        profiles: Profiles = Profiles::default();
        /// Who may log in, and what tokens are like.
        auth: Auth = Auth::default();
        /// Whether tools have to be approved before clients see them, and again when their definitions change.
        lock: Lock = Lock::default();
        /// What of the protocol is spoken towards clients.
        protocol: Protocol = Protocol::default();
        /// How far connections of the gateway go.
        egress: Egress = Egress::default();
        /// The bounds on what clients may use.
        limits: Limits = Limits::default();
    }
}

fn local(port: u16) -> Located<Address> {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    Located {
        place: Place::START,
        value: Address(address),
    }
}

choice! {
    /// What keeps the state.
    Store {
        /// A SQLite file in the data directory.
        Sqlite = "sqlite",
    }
}

/// A network of addresses: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network(pub IpNet);

impl Read for Network {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "`10.0.0.0/8` or `192.0.2.7`";
        let scalar = cx.scalar(node, FORM)?;
        let text = &scalar.text;
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        match text.parse::<IpNet>().ok().or_else(one) {
            Some(network) if network.prefix_len() > 0 => Some(Self(network)),
            Some(_) => cx.refuse(node, "this is every address; name the networks that are meant"),
            None => cx.refuse(
                node,
                format!("`{}` is not a network; write {FORM}", scalar.shown()),
            ),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Network {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A web origin (RFC 6454 §6.2), as browsers write it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    /// The origin as browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Read for Origin {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "scheme, host and port only: `https://app.example.com`";
        let scalar = cx.scalar(node, FORM)?;
        let text = &scalar.text;
        let written = text.trim_end_matches('/').to_ascii_lowercase();
        match url::Url::parse(text).map(|url| url.origin()) {
            Ok(origin) if origin.is_tuple() && origin.ascii_serialization() == written => Some(Self(written)),
            // Applications have schemes of their own: `vscode-webview://…`.
            Ok(origin) if !origin.is_tuple() && is_plain_origin(&written) => Some(Self(written)),
            _ => cx.refuse(
                node,
                format!("`{}` is not a web origin; write {FORM}", scalar.shown()),
            ),
        }
    }
}

fn is_plain_origin(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:+".contains(&b);
    text.split_once("://").is_some_and(|(scheme, rest)| {
        let web = matches!(scheme, "http" | "https" | "file" | "data" | "javascript");
        !scheme.is_empty() && !web && !rest.is_empty() && rest.bytes().all(fine)
    })
}

impl JsonSchema for Origin {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Origin".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }
}
