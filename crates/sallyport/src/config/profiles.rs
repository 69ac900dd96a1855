//! `profiles`: the virtual MCP servers that clients see, each at `/mcp/{slug}`.

use sallyport_core::ProfileSlug;
use sallyport_core::policy::{Glob, Selection};
use sallyport_proxy::spec;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::protocol::Protocol;
use super::read::{Context, Read, choice, section};
use super::rules::RuleText;
use super::table::Table;
use super::tree::Node;
use super::value::Located;

/// `profiles`, by slug.
pub type Profiles = Table<ProfileSlug, Located<Profile>>;

section! {
    /// One virtual MCP server.
    Profile {
        /// The servers that it shows, in order; `"*"` stands for all.
        servers: Vec<Located<String>> = Vec::new();
        /// When names of tools and prompts are prefixed with the server's name.
        naming: Naming = Naming::OnCollision;
        /// Which people may use it, by user name (`ada`, `github:octocat`) or group (`group:NAME`, `local:group:NAME`, `org:NAME`,
        /// `team:ORG/SLUG`) or as administrators (`role:admin`);
        /// clients in their own name as `client:NAME`, people of other issuers as `ISSUER:NAME`.
        users: Names = Names::default();
        /// Which tools, by the name that clients see.
        tools: Tools = Tools::default();
        /// Which prompts, by the name that clients see.
        prompts: Names = Names::default();
        /// Which resources, by the URI that clients see.
        resources: Names = Names::default();
        /// What is to hold of calls besides the names: expressions over who calls what with which arguments, when. All have to.
        rules: Vec<RuleText> = Vec::new();
        /// What of the protocol is spoken there. Absent: what `protocol` at the top says.
        protocol: Option<Protocol> = None;
    }
}

choice! {
    /// When names are prefixed.
    Naming {
        /// Only names that two servers share; then both are prefixed.
        OnCollision = "on-collision",
        /// All names.
        Always = "always",
        /// None; a name that two servers claim is an error at the start, and later is left out of both.
        Never = "never",
    }
}

section! {
    /// Patterns of names of tools, `*` standing for any run of characters. Deny wins; what nothing allows is denied.
    Tools {
        /// What is allowed. An empty list allows nothing.
        allow: Vec<Pattern> = vec![Pattern::any()];
        /// What is denied whatever `allow` says.
        deny: Vec<Pattern> = Vec::new();
        /// Of what is allowed, the tools of which each call has to be approved by the person in whose name it is made, on a page
        /// of the gateway.
        ask: Vec<Pattern> = Vec::new();
    }
}

section! {
    /// Patterns of names, `*` standing for any run of characters. Deny wins; what nothing allows is denied.
    Names {
        /// What is allowed. An empty list allows nothing.
        allow: Vec<Pattern> = vec![Pattern::any()];
        /// What is denied whatever `allow` says.
        deny: Vec<Pattern> = Vec::new();
    }
}

/// A pattern over whole names.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Pattern(#[serde(serialize_with = "as_text")] String);

fn as_text<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl Pattern {
    fn any() -> Self {
        Self("*".to_owned())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Read for Pattern {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        match Glob::parse(&text) {
            Ok(_) => Some(Self(text)),
            Err(error) => cx.refuse(node, error.to_string()),
        }
    }
}

impl JsonSchema for Pattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 128 })
    }
}

impl Tools {
    /// Whether every tool is allowed, without a question.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.deny.is_empty() && self.ask.is_empty() && self.allow.contains(&Pattern::any())
    }

    /// As the policy's lists.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection {
            allow: globs(&self.allow),
            deny: globs(&self.deny),
        }
    }

    /// The tools whose calls have to be approved.
    #[must_use]
    pub fn asks(&self) -> Vec<Glob> {
        globs(&self.ask)
    }
}

fn globs(patterns: &[Pattern]) -> Vec<Glob> {
    patterns.iter().filter_map(|p| Glob::parse(&p.0).ok()).collect()
}

impl Names {
    /// Whether every name is allowed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.deny.is_empty() && self.allow.contains(&Pattern::any())
    }

    /// Every pattern, allowed or denied, as it is written.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.allow
            .iter()
            .chain(&self.deny)
            .map(|pattern| pattern.0.as_str())
    }

    /// As lists over names in lower case: people type their names as they like.
    #[must_use]
    pub fn folded(&self) -> Selection {
        let fold = |patterns: &[Pattern]| patterns.iter().map(|p| Pattern(p.0.to_lowercase())).collect();
        Self {
            allow: fold(&self.allow),
            deny: fold(&self.deny),
        }
        .selection()
    }

    /// As the policy's lists.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection {
            allow: globs(&self.allow),
            deny: globs(&self.deny),
        }
    }
}

impl From<Naming> for spec::Naming {
    fn from(naming: Naming) -> Self {
        match naming {
            Naming::OnCollision => Self::OnCollision,
            Naming::Always => Self::Always,
            Naming::Never => Self::Never,
        }
    }
}

impl Profile {
    /// What stands for all servers.
    pub const ALL: &'static str = "*";

    /// Whether it allows everything that its servers have to everybody whom it admits.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rules.is_empty() && self.tools.is_open() && self.prompts.is_open() && self.resources.is_open()
    }

    /// The profile that there is when the file names none: every server, for everyone who is logged in.
    #[must_use]
    pub fn everything() -> Self {
        let all = Located {
            place: super::tree::Place::START,
            value: Self::ALL.to_owned(),
        };
        Self {
            servers: vec![all],
            ..Self::default()
        }
    }
}
