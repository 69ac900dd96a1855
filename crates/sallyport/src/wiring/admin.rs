//! `/healthz`, `/readyz`, `/metrics` on `admin_listen`.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use sallyport_net::layers::secure;
use sallyport_net::{Body, Inbound, Response, Service, Worker, respond};
use sallyport_proxy::upstream::Status;
use serde_json::json;

use super::live::Live;
use super::process;

/// The media type of the Prometheus text format.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What answers on `admin_listen`.
pub(super) struct Admin {
    pub(super) live: Arc<Live>,
    /// Listening on this machine only: then other names than this machine's are a web page's (DNS rebinding).
    pub(super) local: bool,
}

impl Service for Admin {
    async fn call(&self, _: &Arc<Worker>, inbound: Inbound) -> Response {
        let mut response = self.answer(&inbound.parts).await;
        secure(response.headers_mut());
        response
    }
}

fn names_this_machine(parts: &Parts) -> bool {
    let host = parts
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

impl Admin {
    async fn answer(&self, parts: &Parts) -> Response {
        if self.local && !names_this_machine(parts) {
            return respond::text(StatusCode::MISDIRECTED_REQUEST, "this host is not served here\n");
        }
        let path = parts.uri.path();
        let known = matches!(path, "/healthz" | "/readyz" | "/metrics");
        if known && !matches!(parts.method, Method::GET | Method::HEAD) {
            return respond::method_not_allowed(&[Method::GET, Method::HEAD]);
        }
        match path {
            "/healthz" => respond::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready().await,
            "/metrics" => {
                let mut response = Response::new(Body::full(self.metrics()));
                response.headers_mut().insert(CONTENT_TYPE, METRICS);
                response
            }
            _ => respond::not_found(),
        }
    }

    /// 200 only when a request could be served; the reason otherwise.
    async fn ready(&self) -> Response {
        let live = &self.live;
        let reason = if !live.ready.load(Ordering::Acquire) {
            Some("starting or stopping".to_owned())
        } else if live.trail.is_broken() {
            Some("the audit trail cannot be written".to_owned())
        } else {
            live.base.store.check().await.err().map(|error| error.to_string())
        };
        let status = if reason.is_some() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        let servers: serde_json::Map<String, serde_json::Value> = live
            .upstreams
            .watch()
            .borrow()
            .servers
            .iter()
            .map(|(name, state)| (name.to_string(), status_word(&state.status).into()))
            .collect();
        respond::json(
            status,
            &json!({
                "ready": reason.is_none(),
                "reason": reason,
                "servers": servers,
                "notes": *live.notes.load_full(),
                "config_problems": *live.refused.load_full(),
            }),
        )
    }

    fn metrics(&self) -> String {
        let live = &self.live;
        let mut out = String::with_capacity(8 * 1024);
        live.metrics.render(&mut out);
        let version = env!("CARGO_PKG_VERSION");
        let mut gauge = |name: &str, help: &str, value: &dyn std::fmt::Display| {
            let _ = write!(
                out,
                "# HELP mcp_gateway_{name} {help}\n# TYPE mcp_gateway_{name} gauge\nmcp_gateway_{name} {value}\n"
            );
        };
        gauge(
            "start_time_seconds",
            "When the gateway started, in seconds since 1970.",
            &live.started.as_secs(),
        );
        gauge(
            "config_last_reload_successful",
            "Whether the configuration was taken over when it was read last.",
            &u8::from(live.refused.load().is_empty()),
        );
        if let Some(bytes) = process::resident_bytes() {
            gauge("resident_memory_bytes", "Resident memory.", &bytes);
        }
        if let Some(files) = process::open_files() {
            gauge("open_files", "Open files and connections.", &files);
        }
        let _ = write!(
            out,
            "# HELP mcp_gateway_build_info The version that runs.\n# TYPE mcp_gateway_build_info gauge\n\
             mcp_gateway_build_info{{version=\"{version}\"}} 1\n\
             # HELP mcp_gateway_server_up Whether a server behind is in contact.\n# TYPE mcp_gateway_server_up gauge\n"
        );
        for (name, state) in &live.upstreams.watch().borrow().servers {
            let up = u8::from(state.status == Status::Ready);
            let _ = writeln!(out, "mcp_gateway_server_up{{server=\"{name}\"}} {up}");
        }
        self.server_events(&mut out);
        out
    }

    /// What happened at each server: `mcp_gateway_server_crashes_total{server}` and its like.
    fn server_events(&self, out: &mut String) {
        let servers: Vec<_> = self
            .live
            .upstreams
            .all()
            .iter()
            .map(|server| (server.name().clone(), server.counters().all()))
            .collect();
        let names = servers.first().into_iter().flat_map(|(_, counts)| counts);
        for (place, (event, _)) in names.enumerate() {
            let name = format!("mcp_gateway_server_{event}_total");
            let words = event.replace('_', " ");
            let _ = writeln!(
                out,
                "# HELP {name} At each server: {words}.\n# TYPE {name} counter"
            );
            for (server, counts) in &servers {
                let count = counts.get(place).map_or(0, |(_, count)| *count);
                let _ = writeln!(out, "{name}{{server=\"{server}\"}} {count}");
            }
        }
    }
}

fn status_word(status: &Status) -> String {
    match status {
        Status::Connecting => "connecting".to_owned(),
        Status::Ready => "ready".to_owned(),
        Status::Failed { reason } => format!("failed: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oh_other_names_than_this_machines_are_turned_away() {
        for (host, ours) in [
            ("127.0.0.1:8718", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:8718", true),
            ("evil.example:8718", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            let request = http::Request::builder()
                .header(HOST, host)
                .body(())
                .expect("a request");
            assert_eq!(names_this_machine(&request.into_parts().0), ours, "{host}");
        }
    }
}
