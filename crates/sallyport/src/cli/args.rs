//! The grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sallyport_core::{ProfileSlug, ServerName};
use sallyport_oauth::{exchange, own_name};

use crate::config::value::{Address, Period, WebUrl};

/// The secure front door for MCP servers.
#[derive(Parser, Debug)]
#[command(
    name = "sallyport",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The configuration file [default: $SALLYPORT_CONFIG, else ./sallyport.yaml if there is one]
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// How data is printed
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub output: Format,
    /// Store, keys and audit trail, instead of the configured directory
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// How data is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document, or one a line where there is no end.
    Json,
}

/// What every verb may need of the command line.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Option<PathBuf>,
    pub(super) format: Format,
    pub(super) data_dir: Option<PathBuf>,
}

impl Cli {
    pub(super) fn shared(&self) -> Shared {
        Shared {
            config: self.config.clone(),
            format: self.output,
            data_dir: self.data_dir.clone(),
        }
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run the gateway
    Serve(ServeArgs),
    /// Add an MCP server: `add NAME URL`, or `add NAME -- COMMAND ARG…`
    Add(AddArgs),
    /// List the servers
    List,
    /// Show one server
    Get {
        /// The server's name
        #[arg(value_parser = ServerName::parse)]
        name: ServerName,
    },
    /// Remove a server that was added by command
    Remove {
        /// The server's name
        #[arg(value_parser = ServerName::parse)]
        name: ServerName,
    },
    /// Connect an account at a server: prints where to go with a browser, and waits until it is connected
    Login(LoginArgs),
    /// List the accounts at servers
    Accounts,
    /// Look at, call and approve tools
    #[command(subcommand)]
    Tools(ToolsVerb),
    /// Local users
    #[command(subcommand)]
    User(UserVerb),
    /// OAuth clients
    #[command(subcommand)]
    Client(ClientVerb),
    /// Access tokens and API keys
    #[command(subcommand)]
    Token(TokenVerb),
    /// The keys that sign access tokens
    #[command(subcommand)]
    Key(KeyVerb),
    /// The master key, under which secrets are sealed
    #[command(subcommand)]
    Vault(VaultVerb),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// The audit trail
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Find what would keep a client from working, and say the mend: exit 1 if there is something
    Doctor(DoctorArgs),
}

/// `login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The server's name
    #[arg(value_parser = ServerName::parse)]
    pub server: ServerName,
    /// What the account is called
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub account: String,
    /// Print where to go and do not wait
    #[arg(long)]
    pub no_wait: bool,
}

/// `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Where clients connect, instead of the configured address
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub listen: Option<Address>,
    /// The origin that clients use, instead of the configured one
    #[arg(long, value_name = "URL", value_parser = WebUrl::parse)]
    pub public_url: Option<WebUrl>,
    /// Speak MCP on standard input and output, for the program that started this one; nothing is listened on unless
    /// --listen is given
    #[arg(long)]
    pub stdio: bool,
    /// What is served on standard input and output
    #[arg(long, requires = "stdio", default_value = "default", value_name = "SLUG", value_parser = ProfileSlug::parse)]
    pub profile: ProfileSlug,
}

/// `add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The name that the server gets here
    #[arg(value_parser = ServerName::parse)]
    pub name: ServerName,
    /// The endpoint of a remote server
    #[arg(required_unless_present = "command")]
    pub url: Option<String>,
    /// How the endpoint is spoken to
    #[arg(long, short = 't', value_parser = ["http", "sse", "ws", "tcp"], conflicts_with = "command")]
    pub transport: Option<String>,
    /// A header that is sent with every request: `Name: value`
    #[arg(long, short = 'H', value_name = "K:V", conflicts_with = "command")]
    pub header: Vec<String>,
    /// An environment variable for the program: `NAME=value`
    #[arg(long, short = 'e', value_name = "K=V", conflicts_with = "url")]
    pub env: Vec<String>,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "url")]
    pub command: Vec<String>,
}

/// `tools`.
#[derive(Subcommand, Debug)]
pub enum ToolsVerb {
    /// List the tools that a profile shows
    List {
        /// The profile
        #[arg(long, default_value = "default", value_parser = ProfileSlug::parse)]
        profile: ProfileSlug,
    },
    /// Call a tool
    Call {
        /// The tool's name, as the profile shows it
        tool: String,
        /// Its arguments: a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
        /// The profile
        #[arg(long, default_value = "default", value_parser = ProfileSlug::parse)]
        profile: ProfileSlug,
    },
    /// Compare what servers offer with what is approved in the lock file: exit 1 if it differs
    Diff {
        /// Only this server
        #[arg(value_parser = ServerName::parse)]
        server: Option<ServerName>,
    },
    /// Approve what a server offers now, in the lock file; a running gateway shows it within a second
    Approve {
        /// The server
        #[arg(value_parser = ServerName::parse)]
        server: ServerName,
        /// Only these tools, by their names there
        tools: Vec<String>,
    },
}

/// `user`.
#[derive(Subcommand, Debug)]
pub enum UserVerb {
    /// Add a local user; the password is the first line of standard input
    Add {
        /// What the person types to log in
        name: String,
        /// With the right to administer the gateway
        #[arg(long)]
        admin: bool,
        /// A group that the person is in; may be given again
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Give a local user another password, the first line of standard input; sessions and grants end
    Password {
        /// The user's name
        name: String,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Put a local user into these groups and no others
    Groups {
        /// The user's name
        name: String,
        /// The groups; none takes the user out of all
        groups: Vec<String>,
    },
    /// List the local users
    List,
    /// Remove a local user, with everything that was granted in the person's name
    Remove {
        /// The user's name
        name: String,
    },
}

/// `client`.
#[derive(Subcommand, Debug)]
pub enum ClientVerb {
    /// List the clients
    List,
    /// Show one client as it is registered
    Show {
        /// The client's id
        // A generated one may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Register a client; its secret is shown once
    Create(NewClient),
    /// Print another token for a client's registration (RFC 7592), and nothing else; the former one ends
    Token {
        /// The client's id
        // A generated one may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Show what became of log-ins, the newest first, or one of them step by step
    Logins {
        /// The id of a log-in, or its begin
        id: Option<String>,
    },
    /// End everything that was granted to a client, whose registration stays
    Revoke {
        /// The client's id, or the URL of its document
        // A generated one may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Delete a client, with everything that was granted to it
    Delete {
        /// The client's id
        // A generated one may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

/// `client create`.
#[derive(Args, Debug)]
pub struct NewClient {
    /// What people read
    pub name: String,
    /// Where answers may go; given once for each
    #[arg(long, value_name = "URI")]
    pub redirect_uri: Vec<String>,
    /// How the client authenticates
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "none",
        value_parser = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
    )]
    pub auth: String,
    /// The client's public keys, for private_key_jwt: a JWK Set
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Lets the client act in its own name, without a person, or exchange people's tokens for narrower ones, at the profiles
    /// that --profile names; given once for each
    #[arg(
        long,
        value_name = "TYPE",
        value_parser = [own_name::GRANT_TYPE, exchange::GRANT_TYPE],
        requires = "profile"
    )]
    pub grant: Vec<String>,
    /// A profile that --grant is for; the first is the one that a request need not name
    #[arg(long, value_name = "SLUG", requires = "grant", value_parser = ProfileSlug::parse)]
    pub profile: Vec<ProfileSlug>,
    /// The most that the client may ask for, separated by spaces; mcp unless said otherwise
    #[arg(long)]
    pub scope: Option<String>,
    /// A profile whose access tokens the client may introspect, whoever they were issued to
    #[arg(long, value_name = "SLUG", value_parser = ProfileSlug::parse)]
    pub introspect: Vec<ProfileSlug>,
}

/// `token`.
#[derive(Subcommand, Debug)]
pub enum TokenVerb {
    /// Print an access token or an API key, and nothing else
    Issue(IssueArgs),
    /// List what is good: log-ins, tokens by command, API keys
    List {
        /// Only those of one user
        #[arg(long)]
        user: Option<String>,
    },
    /// End one, and everything that came from it
    Revoke {
        /// As `token list` shows it
        // A generated one may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Print another API key in the place of one, for as long as that was good, and nothing else
    Rotate {
        /// As `token list` shows it
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// How long the old one stays good
        #[arg(long, default_value = "0s", value_parser = period)]
        overlap: Period,
    },
}

/// `token issue`.
#[derive(Args, Debug)]
pub struct IssueArgs {
    /// In whose name
    #[arg(long)]
    pub user: String,
    /// For which profile
    #[arg(long, default_value = "default", value_parser = ProfileSlug::parse)]
    pub profile: ProfileSlug,
    /// With which scopes, separated by spaces: mcp, mcp:read, mcp:write, mcp:SERVER:read, mcp:SERVER:write
    #[arg(long, default_value = "mcp")]
    pub scope: String,
    /// For how long: 1h unless said otherwise, 90d for an API key
    #[arg(long, value_parser = period)]
    pub ttl: Option<Period>,
    /// An API key, of which only a hash is kept, in place of an access token
    #[arg(long)]
    pub api_key: bool,
}

/// `key`.
#[derive(Subcommand, Debug)]
pub enum KeyVerb {
    /// List the keys: the one that signs, the next, and those whose tokens are still good
    List,
    /// Replace the key that signs by the next one; tokens that were signed before stay good
    Rotate,
}

/// `vault`.
#[derive(Subcommand, Debug)]
pub enum VaultVerb {
    /// List the master keys by their ids, and how many records are sealed under each
    List,
    /// Replace the master key: seal every record under the new one and drop the old one. Run again, it goes on where it was
    Rotate,
}

/// `config`.
#[derive(Subcommand, Debug)]
pub enum ConfigVerb {
    /// Check the configuration: exit 78 and every problem with its line, or 0
    Check,
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Print what is in force, with secrets hidden
    Show,
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Go the way of this client, from its first request to its tokens: claude-ai, claude-code, chatgpt, codex, cursor,
    /// vscode, gemini, copilot-cli, opencode, cline, mcp-remote, inspector, fastmcp
    #[arg(long, value_name = "NAME", value_parser = crate::doctor::known)]
    pub client: Option<&'static str>,
    /// The profile whose URL clients are given [default: the one at /mcp, or the first]
    #[arg(long, value_name = "SLUG", value_parser = ProfileSlug::parse)]
    pub profile: Option<ProfileSlug>,
    /// The origin that clients use, instead of the configured one
    #[arg(long, value_name = "URL", value_parser = WebUrl::parse)]
    pub public_url: Option<WebUrl>,
}

/// `audit`.
#[derive(Subcommand, Debug)]
pub enum AuditVerb {
    /// Print the last records
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        lines: u32,
        /// Go on with new records as they are written
        #[arg(short = 'f', long)]
        follow: bool,
    },
    /// Write the whole trail as lines of JSON
    Export {
        /// The file; standard output if not given
        file: Option<PathBuf>,
    },
    /// Check the chain of the trail, or of an exported file
    Verify {
        /// An exported file; `-` is standard input
        file: Option<PathBuf>,
    },
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| "write an IP address and a port, as in 127.0.0.1:8717".to_owned())
}

fn period(text: &str) -> Result<Period, String> {
    Period::parse(text).ok_or_else(|| "write a number and a unit, as in 90s, 15m, 1h, 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("sallyport").chain(line.split(' ')))
    }

    #[test]
    fn lines_that_work_and_lines_that_do_not() {
        for line in [
            "serve",
            "client token -3beoCkUyirxyMApn7hsnA",
            "-c f.yaml serve --listen 127.0.0.1:0 --public-url https://h --data-dir /d",
            "serve --stdio",
            "serve --stdio --profile reading --listen 127.0.0.1:0",
            "add docs https://h/mcp --header A:B --transport http",
            "add --transport http docs https://h/mcp",
            "add everything -e K=V -- npx -y server -o x",
            "list -o json",
            "tools call echo {}",
            "user add ada --admin --password-stdin",
            "token issue --user ada --profile default --scope mcp --ttl 1h",
            "client create web --redirect-uri https://c/cb --auth client_secret_basic --introspect default",
            "client token abc -o json",
            "client logins",
            "client logins 0f3a -o json",
            "client create nightly --auth client_secret_post --grant client_credentials --profile reading",
            "audit tail -n 5 -f",
            "doctor",
            "login docs",
            "login docs --account work --no-wait -o json",
            "accounts -o json",
            "doctor --client claude-ai -o json",
            "doctor --client gemini --profile reading --public-url https://h",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
        for line in [
            "",
            "serve --listen nowhere",
            "serve --profile reading",
            "add docs",
            "login",
            "login a/b",
            "add a/b https://h",
            "add docs https://h -- npx",
            "add docs https://h -e K=V",
            "add x --header A:B -- npx",
            "user add ada",
            "token issue",
            "client create",
            "client create nightly --grant client_credentials",
            "client create nightly --profile reading",
            "client create web --auth password",
            "list -o yaml",
            "doctor --client netscape",
            "doctor --client",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
