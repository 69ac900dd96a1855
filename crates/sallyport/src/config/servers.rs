//! `servers`: the MCP servers behind the gateway.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sallyport_core::{Secret, ServerName};
use sallyport_proxy::spec::{HttpForm, ProcessPer, Processes, Protocol, ServerLimits, Transport};

use super::problem::Collector;
use super::read::{Fields, choice, section, shown};
use super::server_auth::{Accounts, LoginMode, ServerAuth};
use super::table::Table;
use super::tree::Place;
use super::value::{ByteSize, FilePath, Located, Period, Sensitive, ServerUrl, Text};

/// `servers`, by name.
pub type Servers = Table<ServerName, Located<Server>>;

section! {
    /// One MCP server: a program that is started (`command`), or an endpoint that is called (`url`).
    Server {
        /// The program of a stdio server: a path, or a name that is looked up in `PATH`. Never run through a shell.
        command: Option<Located<Text>> = None;
        /// Its arguments, passed as they are.
        args: Vec<Located<Text>> = Vec::new();
        /// Environment variables for the program, besides a minimal set; nothing else is handed on.
        env: Table<String, Sensitive> = Table::default();
        /// The directory in which the program runs.
        cwd: Option<FilePath> = None;
        /// The endpoint of a remote server.
        url: Option<Located<ServerUrl>> = None;
        /// How the endpoint is spoken to.
        transport: Located<UrlTransport> = unplaced(UrlTransport::Auto);
        /// Headers that are sent with every request to the endpoint. Framed TCP has none: the bearer token of
        /// `Authorization` goes into its AUTH frame.
        headers: Table<String, Sensitive> = Table::default();
        /// How the gateway logs in at the endpoint, with people's accounts there.
        auth: ServerAuth = ServerAuth::default();
        /// Which MCP revisions the server speaks: found out by probing, those with `initialize`, or 2026-07-28 and later.
        protocol: Located<Era> = unplaced(Era::Auto);
        /// Whether one session or process may serve all callers. Only for servers that keep nothing about their caller.
        shared: bool = false;
        /// Which callers share a process of a program. `shared`: all, as with `shared: true`. `principal`: those of one
        /// person and client that can be asked the same things. `session`: none. `auto`: `session` for servers with
        /// `initialize`, `principal` for later ones.
        process: Located<ProcessPolicy> = unplaced(ProcessPolicy::Auto);
        /// How long a process stays that nobody uses.
        process_idle: Period = Period::secs(900), within Period::secs(10)..=Period::secs(604_800);
        /// Processes at once, besides the gateway's own one. Where one more is needed, the one that has been idle longest
        /// ends; where none is idle, the call is refused.
        max_processes: usize = 64, within 1..=10_000;
        /// How many of them one person and client may have. Where one more is needed, their own that has been idle longest
        /// ends.
        max_processes_per_principal: usize = 16, within 1..=10_000;
        /// Timeouts and bounds.
        limits: Limits = Limits::default();
    }
    checked by check;
}

fn unplaced<T>(value: T) -> Located<T> {
    let place = Place::START;
    Located { place, value }
}

choice! {
    /// How a remote server is spoken to.
    UrlTransport {
        /// By the URL's scheme: `http` and `https` are probed for Streamable HTTP, then for HTTP+SSE; `ws` and `wss` are
        /// WebSockets; `tcp` and `tls` are framed TCP.
        Auto = "auto",
        /// Streamable HTTP.
        Http = "http",
        /// HTTP+SSE, of revision 2024-11-05.
        Sse = "sse",
        /// WebSocket.
        Ws = "ws",
        /// Framed TCP.
        Tcp = "tcp",
    }
}

choice! {
    /// Which callers share a process.
    ProcessPolicy {
        /// By the era of the server.
        Auto = "auto",
        /// All.
        Shared = "shared",
        /// Those of one person and client.
        Principal = "principal",
        /// None.
        Session = "session",
    }
}

choice! {
    /// Which eras of MCP a server speaks.
    Era {
        /// Found out by probing.
        Auto = "auto",
        /// Revisions with `initialize`.
        Legacy = "legacy",
        /// 2026-07-28 and later.
        Modern = "modern",
    }
}

section! {
    /// The timeouts and bounds of one server.
    Limits {
        /// To connect, or to start the program.
        connect: Period = Period::secs(10), within Period::secs(1)..=Period::secs(300);
        /// To answer the handshake and lists. A slower server does not hold up the others.
        handshake: Period = Period::secs(10), within Period::secs(1)..=Period::secs(300);
        /// Silence on a running call before it is given up; every message starts it again.
        idle: Period = Period::secs(60), within Period::secs(1)..=Period::secs(86_400);
        /// A running call in all.
        call: Period = Period::secs(1800), within Period::secs(1)..=Period::secs(604_800);
        /// The largest message that is taken from the server.
        message_bytes: ByteSize = ByteSize::mib(16), within ByteSize::kib(64)..=ByteSize::mib(256);
        /// Calls in flight at once.
        concurrency: usize = 256, within 1..=65_536;
    }
}

impl From<&Limits> for ServerLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            connect: limits.connect.0,
            handshake: limits.handshake.0,
            idle: limits.idle.0,
            call: limits.call.0,
            message_bytes: limits.message_bytes.0,
            concurrency: limits.concurrency,
        }
    }
}

impl From<UrlTransport> for HttpForm {
    fn from(transport: UrlTransport) -> Self {
        match transport {
            UrlTransport::Auto | UrlTransport::Ws | UrlTransport::Tcp => Self::Auto,
            UrlTransport::Http => Self::Streamable,
            UrlTransport::Sse => Self::Sse,
        }
    }
}

impl From<&Server> for Processes {
    fn from(server: &Server) -> Self {
        let per = match server.process.value {
            ProcessPolicy::Auto | ProcessPolicy::Shared => ProcessPer::Auto,
            ProcessPolicy::Principal => ProcessPer::Principal,
            ProcessPolicy::Session => ProcessPer::Session,
        };
        Self {
            per,
            idle: server.process_idle.0,
            max: server.max_processes,
            per_principal: server.max_processes_per_principal,
        }
    }
}

impl From<Era> for Protocol {
    fn from(era: Era) -> Self {
        match era {
            Era::Auto => Self::Auto,
            Era::Legacy => Self::Legacy,
            Era::Modern => Self::Modern,
        }
    }
}

/// Variables by which a loader or an interpreter runs code before the program that was named (ST-03).
const LOADER_VARIABLES: &[&str] = &[
    "BASH_ENV",
    "ENV",
    "GCONV_PATH",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PERL5OPT",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "RUBYOPT",
];

/// Headers that the gateway itself sets, or that frame the message.
const OWN_HEADERS: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The rules that look at several keys of one server.
fn check(server: &Server, place: Place, fields: &Fields<'_>, problems: &mut Collector) {
    match (fields.has("command"), fields.has("url")) {
        (false, false) => problems.add(
            place,
            "a server needs a `command` or a `url`; give it a program or an endpoint",
        ),
        (true, true) => problems.add(
            place,
            "a server has `command` or `url`, not both; remove one of them",
        ),
        (true, false) => server.check_stdio(fields, problems),
        (false, true) => server.check_url(fields, problems),
    }
}

impl Server {
    fn check_stdio(&self, fields: &Fields<'_>, problems: &mut Collector) {
        if let Some(command) = &self.command
            && let Some(message) = wrong_command(&command.value)
        {
            problems.add(command.place, message);
        }
        for row in self.env.iter() {
            if let Some(message) = wrong_variable(&row.key) {
                problems.add(row.place, message);
            }
        }
        if self.shared && !matches!(self.process.value, ProcessPolicy::Auto | ProcessPolicy::Shared) {
            problems.add(
                self.process.place,
                "`shared: true` means one process for all; remove it, or this",
            );
        }
        meaningless(fields, &["headers", "transport", "auth"], "a program", problems);
    }

    fn check_url(&self, fields: &Fields<'_>, problems: &mut Collector) {
        for row in self.headers.iter() {
            if let Some(message) = wrong_header(&row.key, row.value.value.expose()) {
                problems.add(row.place, message);
            }
        }
        let framed = self
            .url
            .as_ref()
            .is_some_and(|url| matches!(url.value.url.scheme(), "tcp" | "tls"));
        for row in self.headers.iter().filter(|_| framed) {
            if bearer(&row.key, &row.value.value).is_none() {
                problems.add(
                    row.place,
                    "framed TCP has no headers; write `Authorization: Bearer …` for its AUTH frame, or remove this",
                );
            }
        }
        if let Some(message) = self
            .url
            .as_ref()
            .and_then(|url| self.wrong_transport(&url.value.url))
        {
            problems.add(self.transport.place, message);
        }
        self.check_auth(fields, problems);
        if self.transport.value == UrlTransport::Sse && self.protocol.value == Era::Modern {
            problems.add(
                self.protocol.place,
                "HTTP+SSE is spoken in revisions with `initialize` only; write `auto` or `legacy`, or another `transport`",
            );
        }
        let own = [
            "args",
            "env",
            "cwd",
            "process",
            "process_idle",
            "max_processes",
            "max_processes_per_principal",
        ];
        meaningless(fields, &own, "an endpoint", problems);
    }

    /// What does not go together with people's accounts.
    fn check_auth(&self, fields: &Fields<'_>, problems: &mut Collector) {
        let auth = &self.auth;
        let is_http = self
            .url
            .as_ref()
            .is_some_and(|url| matches!(url.value.url.scheme(), "http" | "https"));
        if !is_http {
            meaningless(fields, &["auth"], "an endpoint without HTTP", problems);
            return;
        }
        if auth.mode.value != LoginMode::Oauth {
            return;
        }
        let mut rows = self.headers.iter();
        if let Some(row) = rows.find(|row| row.key.eq_ignore_ascii_case("authorization")) {
            problems.add(
                row.place,
                "with `auth.mode: oauth` the gateway sets `Authorization` itself; remove this header, or the mode",
            );
        }
        if self.is_shared() && auth.accounts.value == Accounts::Personal {
            problems.add(
                auth.mode.place,
                "one session for all callers cannot have everybody's own account; remove `shared`, or write `accounts: shared`",
            );
        }
    }

    /// Whether one session or process serves all callers.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared || self.process.value == ProcessPolicy::Shared
    }

    /// Why the transport cannot be spoken at this URL, if it cannot.
    fn wrong_transport(&self, url: &url::Url) -> Option<String> {
        let (transport, schemes) = match self.transport.value {
            UrlTransport::Auto => return None,
            UrlTransport::Http => ("http", ["http", "https"]),
            UrlTransport::Sse => ("sse", ["http", "https"]),
            UrlTransport::Ws => ("ws", ["ws", "wss"]),
            UrlTransport::Tcp => ("tcp", ["tcp", "tls"]),
        };
        let [plain, tls] = schemes;
        (!schemes.contains(&url.scheme())).then(|| {
            format!(
                "`{transport}` is spoken at URLs that begin with {plain} or {tls}, not with {}; change one of them, or write `auto`",
                url.scheme()
            )
        })
    }

    /// One word for how the server is reached.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (&self.url, self.transport.value) {
            (None, _) => "stdio",
            (Some(url), transport) => match url.value.url.scheme() {
                "ws" | "wss" => "ws",
                "tcp" | "tls" => "tcp",
                _ if transport == UrlTransport::Sse => "sse",
                _ => "http",
            },
        }
    }

    /// How the server is reached; nothing where neither a program nor an endpoint was read.
    #[must_use]
    pub fn reached(&self) -> Option<Transport> {
        let secrets = |table: &Table<String, Sensitive>| {
            let pairs = table.iter().map(|row| (row.key.clone(), row.value.value.clone()));
            pairs.collect::<Vec<_>>()
        };
        if let Some(url) = &self.url {
            let (url, headers) = (url.value.url.clone(), secrets(&self.headers));
            return Some(match url.scheme() {
                "ws" | "wss" => Transport::WebSocket { url, headers },
                "tcp" | "tls" => Transport::Tcp {
                    url,
                    token: headers
                        .iter()
                        .find_map(|(name, value)| bearer(name, value))
                        .unwrap_or_else(|| Secret::from("")),
                },
                _ => Transport::Http {
                    url,
                    headers,
                    form: self.transport.value.into(),
                },
            });
        }
        self.command.as_ref().map(|command| Transport::Stdio {
            command: command.value.value.clone(),
            args: self.args.iter().map(|arg| arg.value.value.clone()).collect(),
            env: secrets(&self.env).into_iter().collect::<BTreeMap<_, _>>(),
            cwd: self.cwd.as_ref().map(|cwd| cwd.0.clone() as PathBuf),
        })
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(name: &str, value: &Secret<String>) -> Option<Secret<String>> {
    let (scheme, token) = value.expose().split_once(' ')?;
    let bears = name.eq_ignore_ascii_case("authorization") && scheme.eq_ignore_ascii_case("bearer");
    bears.then(|| Secret::from(token.trim()))
}

fn meaningless(fields: &Fields<'_>, keys: &[&str], kind: &str, problems: &mut Collector) {
    for (key, node) in keys
        .iter()
        .filter_map(|key| fields.get(key).map(|node| (key, node)))
    {
        if !node.is_blank() {
            problems.add(
                node.place,
                format!("`{key}` has no meaning for {kind}; remove it"),
            );
        }
    }
}

fn wrong_command(command: &Text) -> Option<String> {
    let text = &command.value;
    if text.is_empty() {
        return Some("`command` is empty; name a program".to_owned());
    }
    let several = text.contains(char::is_whitespace) && !text.contains('/');
    several.then(|| {
        format!(
            "`{}` is not the name of a program; write its name alone and put the rest into `args`",
            shown(&command.to_string())
        )
    })
}

fn wrong_variable(name: &str) -> Option<String> {
    if name.contains('=') {
        return Some(format!(
            "`{}` cannot be the name of a variable; remove the `=`",
            shown(name)
        ));
    }
    loads_code(name)
        .then(|| format!("`{name}` makes a program load other code; start that program as `command` instead"))
}

fn loads_code(name: &str) -> bool {
    LOADER_VARIABLES.contains(&name) || name.starts_with("LD_") || name.starts_with("DYLD_")
}

/// Why a header cannot be sent (RFC 9110 §5.1, §5.5), if it cannot.
fn wrong_header(name: &str, value: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(format!(
            "`{}` cannot be the name of a header; use letters, digits and `-`",
            shown(name)
        ));
    }
    let own = ["mcp-", "sec-websocket-"]
        .iter()
        .any(|start| lower.starts_with(start));
    if own || OWN_HEADERS.contains(&lower.as_str()) {
        return Some(format!("the header `{name}` is set by the gateway; remove it"));
    }
    if http::HeaderValue::from_str(value).is_err() {
        return Some(format!(
            "the value of `{name}` cannot be sent in a header; remove line breaks and control characters"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_those_in_force() {
        assert_eq!(ServerLimits::from(&Limits::default()), ServerLimits::default());
        assert_eq!(Processes::from(&Server::default()), Processes::default());
    }

    #[test]
    fn st_03_loader_variables_are_refused() {
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NODE_OPTIONS",
            "PYTHONSTARTUP",
            "DYLD_INSERT_LIBRARIES",
        ] {
            assert!(loads_code(name), "{name}");
        }
        for name in ["PATH", "GITHUB_TOKEN", "OLD_NAME", "NODE_ENV", "LDAP"] {
            assert!(!loads_code(name), "{name}");
        }
    }

    #[test]
    fn headers_that_frame_or_identify_are_refused() {
        for (name, value) in [
            ("Host", "x"),
            ("Mcp-Session-Id", "x"),
            ("Sec-WebSocket-Key", "x"),
            ("a b", "x"),
            ("X-A", "a\r\nB: c"),
            ("", "x"),
        ] {
            assert!(wrong_header(name, value).is_some(), "{name}");
        }
        assert_eq!(wrong_header("Authorization", "Bearer x"), None);
    }
}
