//! A client as data: what it sends from its first request to its first call.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A client, as it was recorded or as its users report it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixture {
    /// What people call it, with its version.
    pub(super) client: String,
    /// `recorded` from the program, or `reported` by users and makers.
    #[serde(rename = "seen")]
    pub(super) _seen: Seen,
    /// `User-Agent` at the MCP endpoint; some send none.
    pub(super) agent: String,
    /// `User-Agent` of its OAuth requests.
    pub(super) oauth_agent: String,
    /// What it sends before it has a token.
    pub(super) knocks: Vec<Message>,
    /// The documents that it reads, in its order.
    pub(super) documents: Vec<String>,
    /// How it registers (RFC 7591).
    pub(super) registration: Option<Value>,
    /// Or how it describes itself (Client ID Metadata Documents).
    pub(super) document: Option<Described>,
    /// Where it wants to return to.
    pub(super) redirect: String,
    /// Its authorization request, besides what all send.
    pub(super) authorize: Authorize,
    /// Whether it fetches the authorization URL itself, before the browser does.
    #[serde(default)]
    pub(super) looks_first: bool,
    /// How it redeems.
    pub(super) token: Token,
    /// How it refreshes.
    pub(super) refresh: Refresh,
    /// Its first call.
    pub(super) call: Message,
    /// Verdicts that differ from those of all others, by the mutation.
    #[serde(default)]
    pub(super) expects: BTreeMap<String, String>,
}

/// A document in which a client describes itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    /// Where it is on its site.
    pub(super) path: String,
    /// What it says, besides the URL that it is at.
    pub(super) metadata: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Seen {
    Recorded,
    Reported,
}

/// A request to the MCP endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) method: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) json: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorize {
    pub(super) resource: bool,
    pub(super) scope: Option<String>,
    pub(super) prompt: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) authentication: Authentication,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Authentication {
    None,
    /// In the header, with `client_id` in the form besides.
    Basic,
    Post,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    pub(super) resource: bool,
    pub(super) scope: Option<String>,
}

/// Every client, by the name of its file.
pub(super) fn all() -> anyhow::Result<BTreeMap<String, Fixture>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/recorded/clients");
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let text = std::fs::read(&path)?;
        let fixture = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let name = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        all.insert(name, fixture);
    }
    Ok(all)
}
