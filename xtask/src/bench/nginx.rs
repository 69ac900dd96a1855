//! nginx as a plain proxy before the bare server: what it costs to pass bytes on without looking at them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::gateway::free_port;
use crate::process::Background;

/// A running nginx with one worker per core, without a log.
pub(super) struct Nginx {
    origin: String,
    process: Background,
}

impl Nginx {
    /// Starts `program` in `folder` before `upstream`, an origin.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start(program: &Path, folder: &Path, upstream: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let authority = upstream.trim_start_matches("http://");
        let config = folder.join("nginx.conf");
        fs::write(&config, text(folder, port, authority))?;
        let mut serve = Command::new(program);
        serve.arg("-p").arg(folder).arg("-c").arg(&config);
        serve.arg("-e").arg(folder.join("error.log"));
        let mut process = Background::start(&mut serve, &folder.join("out.log"))?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while !listens(port) {
            if !process.lives() || Instant::now() > deadline {
                let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                bail!("nginx does not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(Self {
            origin: format!("http://127.0.0.1:{port}"),
            process,
        })
    }

    /// Where it listens.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// The process id of the master, whose children do the work.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a question to a program of ours on loopback"
)]
fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Connections to both sides are kept, answers are passed on as they come, in pieces as large as the gateway's.
fn text(folder: &Path, port: u16, upstream: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "daemon off;\nworker_processes auto;\npid {folder}/nginx.pid;\nevents {{ worker_connections 1024; }}\nhttp {{\n{temporary}  access_log off;\n  keepalive_requests 1000000000;\n  upstream bare {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}\n  server {{\n    listen 127.0.0.1:{port};\n    location / {{\n      proxy_pass http://bare;\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n      proxy_buffer_size 128k;\n      proxy_buffers 4 128k;\n      proxy_busy_buffers_size 128k;\n      client_body_buffer_size 1m;\n    }}\n  }}\n}}\n",
        folder = folder.display()
    )
}
