//! The exact version of everything that the tests install.

/// Node for the programs that need a newer one than the machine has: npm package `node-linux-ARCH`.
pub(crate) const NODE: &str = "22.23.3";
/// The least major version of Node that the conformance suite runs on.
pub(crate) const NODE_MAJOR: u32 = 22;

/// The official conformance suite of MCP.
pub(crate) const CONFORMANCE: &[&str] = &["@modelcontextprotocol/conformance@0.2.0-alpha.12"];
/// The official TypeScript clients, current and before.
pub(crate) const TYPESCRIPT: &[&str] = &[
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/sdk@1.32.2",
];
/// The bridge from stdio to a remote server that most desktop clients use.
pub(crate) const MCP_REMOTE: &[&str] = &["mcp-remote@0.15.1"];
/// The release before it that many configurations still name.
pub(crate) const MCP_REMOTE_OLD: &[&str] = &["mcp-remote@0.1.29"];
/// Agents of the command line.
pub(crate) const CODEX: &[&str] = &["@openai/codex@0.169.0"];
/// See [`CODEX`].
pub(crate) const OPENCODE: &[&str] = &["opencode-ai@1.18.33"];
/// The official inspector; its command line is a client.
pub(crate) const INSPECTOR: &[&str] = &["@modelcontextprotocol/inspector@2.12.0"];
/// The newcomer's path: a browser driver, a client, a real server to put behind the gateway, and a real OpenID provider to log in
/// through.
pub(crate) const BROWSER: &[&str] = &[
    "playwright-core@1.65.1",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "oidc-provider@9.13.3",
];

/// The official Python SDKs and FastMCP.
pub(crate) const PYTHON_2: &str = "mcp==2.3.0";
/// See [`PYTHON_2`].
pub(crate) const PYTHON_1: &str = "mcp==1.30.0";
/// See [`PYTHON_2`].
pub(crate) const FASTMCP: &str = "fastmcp==4.1.0";

/// The versions of LLVM whose `llvm-profdata` reads what programs of this compiler count. Where there is none, Debian's package
/// of the oldest is installed.
pub(crate) const LLVM: std::ops::RangeInclusive<u32> = 19..=24;

/// The judge of dependencies, from crates.io.
pub(crate) const CARGO_DENY: &str = "0.20.2";
