//! What the operator is told once the gateway runs: lines that can be pasted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sallyport_core::Secret;

/// What there is to tell.
pub struct Banner {
    /// The origin that clients use.
    pub origin: String,
    /// The URL of the MCP endpoint.
    pub endpoint: String,
    /// The address of the framed TCP listener.
    pub tcp: Option<SocketAddr>,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    /// The one-time link for the first administrator.
    pub setup: Option<Secret<String>>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// What the operator should know of.
    pub notes: Vec<String>,
}

impl Banner {
    /// For people: `took` is the time from the process's start. With `colour`, headings stand out.
    #[must_use]
    pub fn text(&self, took: Duration, colour: bool) -> String {
        let (bold, dim, accent, plain) = if colour {
            ("\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m")
        } else {
            ("", "", "", "")
        };
        let version = env!("CARGO_PKG_VERSION");
        let mut out = format!(
            "\n  {bold}Sallyport {version}{plain}  {dim}ready in {}.{:02} s{plain}\n\n",
            took.as_secs(),
            took.subsec_millis() / 10
        );
        let mut line = |name: &str, value: &str, more: &str| {
            let more = if more.is_empty() {
                String::new()
            } else {
                format!("  {dim}{more}{plain}")
            };
            out.push_str(&format!("  {dim}{name:<10}{plain}{accent}{value}{plain}{more}\n"));
        };
        line("MCP", &self.endpoint, "");
        if let Some(tcp) = self.tcp {
            line("TCP", &format!("tcp://{tcp}"), "");
        }
        line("Health", &format!("http://{}/readyz", self.admin), "");
        line("Data", &self.data_dir.display().to_string(), "");
        match &self.file {
            Some(file) => line(
                "Config",
                &file.display().to_string(),
                "changes take effect when it is saved",
            ),
            None => line("Config", "built-in defaults", "or write sallyport.yaml"),
        }
        if let Some(setup) = &self.setup {
            out.push_str(&format!(
                "\n  {bold}1. Make the administrator's account{plain} {dim}(this link works once, for a day){plain}\n\n     {accent}{}{plain}\n",
                setup.expose()
            ));
        }
        let step = if self.setup.is_some() { "2. " } else { "" };
        out.push_str(&format!(
            "\n  {bold}{step}Connect a client{plain}\n\n     claude mcp add --transport http sallyport {}\n",
            self.endpoint
        ));
        for note in &self.notes {
            out.push_str(&format!("\n  {bold}note{plain}  {note}\n"));
        }
        out.push('\n');
        out
    }

    /// What the operator should know of, as log events.
    pub fn log_notes(&self) {
        for note in &self.notes {
            tracing::warn!(note, "note");
        }
    }

    /// For machines: log events.
    pub fn log(&self) {
        self.log_notes();
        if let Some(setup) = &self.setup {
            // The one secret that is ever logged: it has to reach whoever installs, works once, and dies with the first
            // administrator.
            tracing::warn!(
                setup_link = setup.expose().as_str(),
                "there is no administrator yet: open the link once"
            );
        }
        tracing::info!(
            mcp = self.endpoint,
            health = format!("http://{}/readyz", self.admin),
            connect = format!("claude mcp add --transport http sallyport {}", self.endpoint),
            "ready"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lines_can_be_pasted() {
        let banner = Banner {
            origin: "http://127.0.0.1:8717".to_owned(),
            endpoint: "http://127.0.0.1:8717/mcp".to_owned(),
            tcp: Some(([127, 0, 0, 1], 8719).into()),
            admin: ([127, 0, 0, 1], 8718).into(),
            setup: Some(Secret::from("http://127.0.0.1:8717/setup?link=x")),
            data_dir: "/data".into(),
            file: None,
            notes: Vec::new(),
        };
        let text = banner.text(Duration::from_millis(420), false);
        for line in [
            "http://127.0.0.1:8717/setup?link=x",
            "claude mcp add --transport http sallyport http://127.0.0.1:8717/mcp",
        ] {
            assert!(
                text.lines().any(|l| l.trim() == line),
                "{line} is not a line of\n{text}"
            );
        }
        assert!(text.contains("tcp://127.0.0.1:8719"), "{text}");
        assert!(text.contains("ready in 0.42 s"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
