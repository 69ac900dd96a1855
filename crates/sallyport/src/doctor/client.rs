//! The clients, a row each: what they send and what they need, as recorded from the programs or reported by their users
//! and makers.

/// Where a client's requests come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// From servers of its maker: only what is on the open network can be reached.
    Cloud,
    /// From the person's own machine.
    Machine,
}

/// The first request, before there is a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Knock {
    /// `POST` of `initialize` of this revision.
    Initialize(&'static str),
    /// `POST` of `server/discover` of 2026-07-28.
    Discover,
    /// `POST` of `{}`.
    Empty,
    /// `GET`, with this `Accept`.
    Get(&'static str),
    /// `HEAD`.
    Head,
}

/// Which scopes are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scopes {
    /// Those of the challenge.
    Challenge,
    /// Those of the challenge, and `offline_access` where the server tells of it.
    Offline,
    /// All of the resource's document.
    Resource,
    /// Always these.
    Fixed(&'static str),
}

/// A client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// What `--client` calls it.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) label: &'static str,
    pub(super) from: From,
    /// `User-Agent`; empty where there is none.
    pub(super) agent: &'static str,
    pub(super) knocks: &'static [Knock],
    /// The spellings of the server's document, in its order; `{path}` is the endpoint's path.
    pub(super) server_documents: &'static [&'static str],
    /// The document that describes it, which it prefers where the server takes such.
    pub(super) document: Option<&'static str>,
    /// The name that it registers.
    pub(super) registers_as: &'static str,
    pub(super) redirects: &'static [&'static str],
    /// The one that it asks for.
    pub(super) redirect: &'static str,
    pub(super) is_native: bool,
    pub(super) scopes: Scopes,
    pub(super) prompt: Option<&'static str>,
    /// Whether it fetches the authorization URL itself before the browser does.
    pub(super) looks_first: bool,
    /// How many seconds before its end it takes an access token for expired.
    pub(super) early: u64,
}

const ROOT: &str = "/.well-known/oauth-authorization-server";
const ROOT_OPENID: &str = "/.well-known/openid-configuration";
const BEHIND: &str = "/.well-known/oauth-authorization-server{path}";

/// What most do.
const USUAL: Client = Client {
    name: "",
    label: "",
    from: From::Machine,
    agent: "node",
    knocks: &[Knock::Initialize("2025-11-25")],
    server_documents: &[ROOT, ROOT_OPENID],
    document: None,
    registers_as: "",
    redirects: &[],
    redirect: "",
    is_native: false,
    scopes: Scopes::Challenge,
    prompt: None,
    looks_first: false,
    early: 0,
};

const CLAUDE: [&str; 2] = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://claude.com/api/mcp/auth_callback",
];
const CURSOR: [&str; 3] = [
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "http://localhost:8787/callback",
];
const VSCODE: [&str; 4] = [
    "https://insiders.vscode.dev/redirect",
    "https://vscode.dev/redirect",
    "http://127.0.0.1/",
    "http://127.0.0.1:33418/",
];

/// All of them.
pub(super) const CLIENTS: &[Client] = &[
    Client {
        name: "claude-ai",
        label: "Claude (claude.ai, desktop, mobile)",
        from: From::Cloud,
        agent: "python-httpx/0.28.1",
        knocks: &[Knock::Initialize("2025-06-18")],
        server_documents: &[BEHIND, ROOT, ROOT_OPENID],
        document: Some("https://claude.ai/oauth/mcp-oauth-client-metadata"),
        registers_as: "Claude",
        redirects: &CLAUDE,
        redirect: CLAUDE[0],
        ..USUAL
    },
    Client {
        name: "claude-code",
        label: "Claude Code",
        agent: "claude-code/2.1.0",
        document: Some("https://claude.ai/oauth/claude-code-client-metadata"),
        registers_as: "Claude Code",
        redirects: &["http://localhost:41213/callback"],
        redirect: "http://localhost:41213/callback",
        scopes: Scopes::Offline,
        ..USUAL
    },
    Client {
        name: "chatgpt",
        label: "ChatGPT (connectors)",
        from: From::Cloud,
        agent: "openai-mcp/1.0.0",
        document: Some("https://chatgpt.com/oauth/client.json"),
        registers_as: "ChatGPT",
        redirects: &["https://chatgpt.com/connector_platform_oauth_redirect"],
        redirect: "https://chatgpt.com/connector_platform_oauth_redirect",
        scopes: Scopes::Fixed("openid email offline_access profile"),
        ..USUAL
    },
    Client {
        name: "codex",
        label: "OpenAI Codex CLI",
        agent: "codex-mcp-client/0.169.0",
        knocks: &[Knock::Get("*/*")],
        document: Some("https://chatgpt.com/oauth/codex/client.json"),
        registers_as: "Codex",
        redirects: &["http://127.0.0.1:41213/callback"],
        redirect: "http://127.0.0.1:41213/callback",
        is_native: true,
        scopes: Scopes::Offline,
        early: 30,
        ..USUAL
    },
    Client {
        name: "cursor",
        label: "Cursor",
        agent: "Cursor/2.0.0",
        registers_as: "Cursor",
        redirects: &CURSOR,
        redirect: CURSOR[0],
        ..USUAL
    },
    Client {
        name: "vscode",
        label: "Visual Studio Code",
        document: Some("https://vscode.dev/oauth/client-metadata.json"),
        registers_as: "Visual Studio Code",
        redirects: &VSCODE,
        redirect: VSCODE[3],
        is_native: true,
        scopes: Scopes::Resource,
        ..USUAL
    },
    Client {
        name: "gemini",
        label: "Gemini CLI",
        knocks: &[Knock::Initialize("2025-06-18"), Knock::Head],
        registers_as: "Gemini CLI MCP Client",
        redirects: &["http://localhost:41213/oauth/callback"],
        redirect: "http://localhost:41213/oauth/callback",
        scopes: Scopes::Resource,
        early: 300,
        ..USUAL
    },
    Client {
        name: "copilot-cli",
        label: "GitHub Copilot CLI",
        agent: "GitHubCopilotCLI/1.0.102",
        knocks: &[Knock::Empty, Knock::Discover],
        document: Some("https://github.com/copilot/cli/client-metadata.json"),
        registers_as: "GitHub Copilot CLI",
        redirects: &["http://127.0.0.1:41213/"],
        redirect: "http://127.0.0.1:41213/",
        scopes: Scopes::Offline,
        prompt: Some("consent select_account"),
        ..USUAL
    },
    Client {
        name: "opencode",
        label: "opencode",
        agent: "opencode/1.18.33",
        registers_as: "OpenCode",
        redirects: &["http://127.0.0.1:19876/mcp/oauth/callback"],
        redirect: "http://127.0.0.1:19876/mcp/oauth/callback",
        scopes: Scopes::Offline,
        prompt: Some("consent"),
        ..USUAL
    },
    Client {
        name: "cline",
        label: "Cline",
        registers_as: "Cline",
        redirects: &["http://127.0.0.1:1456/mcp/oauth/callback"],
        redirect: "http://127.0.0.1:1456/mcp/oauth/callback",
        ..USUAL
    },
    Client {
        name: "mcp-remote",
        label: "mcp-remote",
        knocks: &[
            Knock::Get("application/json, text/event-stream"),
            Knock::Initialize("2025-11-25"),
        ],
        registers_as: "MCP CLI Proxy",
        redirects: &["http://localhost:3334/oauth/callback"],
        redirect: "http://localhost:3334/oauth/callback",
        is_native: true,
        scopes: Scopes::Offline,
        prompt: Some("consent"),
        early: 60,
        ..USUAL
    },
    Client {
        name: "inspector",
        label: "MCP Inspector",
        registers_as: "MCP Inspector",
        redirects: &["http://127.0.0.1:6274/oauth/callback"],
        redirect: "http://127.0.0.1:6274/oauth/callback",
        is_native: true,
        scopes: Scopes::Offline,
        prompt: Some("consent"),
        ..USUAL
    },
    Client {
        name: "fastmcp",
        label: "FastMCP",
        agent: "python-httpx2/2.16.2",
        knocks: &[Knock::Discover],
        registers_as: "FastMCP Client",
        redirects: &["http://localhost:41213/callback"],
        redirect: "http://localhost:41213/callback",
        is_native: true,
        scopes: Scopes::Offline,
        prompt: Some("consent"),
        looks_first: true,
        ..USUAL
    },
];

/// The client of a name.
///
/// # Errors
/// What names there are.
pub(crate) fn find(name: &str) -> Result<&'static Client, String> {
    let found = CLIENTS.iter().find(|client| client.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
        format!(
            "there is no client `{name}`; those that are known are {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_found_by_its_name_and_others_are_not() {
        for client in CLIENTS {
            assert_eq!(find(client.name).unwrap().label, client.label);
        }
        let refused = find("netscape").unwrap_err();
        assert!(
            CLIENTS.iter().all(|client| refused.contains(client.name)),
            "{refused}"
        );
    }

    #[test]
    fn every_row_is_whole() {
        for client in CLIENTS {
            assert!(client.redirects.contains(&client.redirect), "{}", client.name);
            assert!(!client.knocks.is_empty() && !client.registers_as.is_empty());
            assert!(client.server_documents.contains(&ROOT), "{}", client.name);
            let documents = client.document.into_iter();
            assert!(documents.into_iter().all(|url| url.starts_with("https://")));
            let same = CLIENTS.iter().filter(|other| other.name == client.name);
            assert_eq!(same.count(), 1, "{}", client.name);
        }
    }
}
