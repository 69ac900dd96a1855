//! What is on this machine: the data folder, its keys, the clock, the listeners.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::{Clock, Timestamp};
use sallyport_net::egress::Egress;
use sallyport_store::Store;

use super::finding::{Ill, Report};
use super::judge;
use super::wire::{Ask, Wire};
use crate::base::{Base, StartError};
use crate::config::Config;
use crate::config::auth::Mode;

/// Below this the audit trail may soon have no room, and then no call is let through.
const LITTLE: u64 = 1 << 30;
/// Below this writing fails at any moment.
const NOTHING: u64 = 64 << 20;
/// A clock before this has never been set: the program is younger.
const BUILT: Timestamp = Timestamp::from_secs(1_767_225_600);

/// The configuration holds, or nothing of this would be looked at.
pub(super) fn configuration(report: &mut Report, config: &Config) {
    report.begin("configuration");
    let file = config.file.as_ref();
    let name = file.map_or_else(
        || "built-in defaults".to_owned(),
        |file| file.display().to_string(),
    );
    report.note("file", Ok(format!("{name}: no problems")));
    for note in &config.notes {
        report.ill(
            "note",
            Ill::warning(
                "configuration",
                note.clone(),
                "Change it in the file, if it is not meant so.",
            ),
        );
    }
}

/// The data folder as it lies there; it is not made, and an older database is not changed.
pub(super) async fn data(report: &mut Report, config: &Config, clock: &dyn Clock) -> bool {
    report.begin("this machine");
    let judged = if clock.now() >= BUILT {
        Ok("set".to_owned())
    } else {
        Err(Ill::fails(
            "clock-unset",
            "the clock stands before this program was made",
            "Set the clock of this machine by NTP: tokens and certificates are judged by it.",
        ))
    };
    report.note("clock", judged);
    let folder = &config.data_dir;
    if !folder.exists() {
        report.ill(
            "data folder",
            Ill::warning(
                "no-data-yet",
                format!(
                    "{} is not there: no gateway has run with this configuration",
                    folder.display()
                ),
                "`sallyport serve` makes it. If a gateway runs already, use its configuration and its user.",
            ),
        );
        return false;
    }
    report.note("free disk", room(free(folder)));
    let judged = match Store::schema(folder).await {
        Ok(schema) if schema.found < schema.known => Err(Ill::warning(
            "database-older",
            format!(
                "the database has the schema {}, and this program writes {}",
                schema.found, schema.known
            ),
            "`sallyport serve` brings it up to date at its start; keep a copy of the data folder before that.",
        )),
        Ok(schema) => Ok(format!("schema {}, as this program writes it", schema.found)),
        Err(error) => Err(Ill::fails(
            "database",
            error.to_string(),
            "Mend what is said, or use another data folder.",
        )),
    };
    report.note("database", judged)
}

/// What was opened, or why it could not be.
pub(super) fn opened(report: &mut Report, opened: Result<Base, StartError>) -> Option<Base> {
    let step = "data folder";
    match opened {
        Ok(base) => {
            let folder = base.config.data_dir.display().to_string();
            report.note(
                step,
                Ok(format!("{folder} is ours alone, and the master key opens it")),
            );
            Some(base)
        }
        Err(error) => {
            let mend = "Run this as the user that runs the gateway; what is said above names the command that mends it.";
            report.ill(step, Ill::fails("data-folder", error.to_string(), mend));
            None
        }
    }
}

/// Whether anybody can log in at all.
pub(super) async fn people(report: &mut Report, base: &Base) {
    let auth = &base.config.root.auth;
    let providers = auth.oidc.0.len() + usize::from(auth.github.is_some());
    let users = match base.store.users().await {
        Ok(users) => users.len(),
        Err(error) => {
            report.ill("people", Ill::fails("database", error.to_string(), ""));
            return;
        }
    };
    let judged = if users == 0 && providers == 0 {
        Err(Ill::warning(
            "nobody-can-log-in",
            "there is no account, and no identity provider",
            "Open the setup link that `sallyport serve` prints, or run `sallyport user add NAME --admin --password-stdin`.",
        ))
    } else {
        Ok(format!("accounts: {users}, identity providers: {providers}"))
    };
    report.note("people", judged);
}

/// The listeners themselves, without what is in front.
pub(super) async fn listeners(report: &mut Report, config: &Config, egress: &Arc<Egress>, origin: &str) {
    let listen = config.root.listen.value.0;
    let admin = config.root.admin_listen.value.0;
    if listen.port() == 0 || admin.port() == 0 {
        report.ill("listeners", Ill::skipped("port 0 is another one at each start"));
        return;
    }
    let wire = Wire::new(Arc::clone(egress), &format!("http://{}", near(admin)), "");
    let judged = match wire.ask(&Ask::new(http::Method::GET, "/readyz")).await {
        Ok(reply) => ready(reply.status, &String::from_utf8_lossy(&reply.body)),
        Err(ill) if ill.verdict == "unreachable" => Err(Ill::fails(
            "not-running",
            format!("nobody listens on {admin}, the address of `admin_listen`"),
            "Start the gateway: `sallyport serve` with this configuration.",
        )),
        Err(ill) => Err(ill),
    };
    report.note("gateway", judged);
    let wire = Wire::new(Arc::clone(egress), &format!("http://{}", near(listen)), "");
    let path = "/.well-known/oauth-authorization-server";
    let judged = match wire.ask(&Ask::get(path)).await {
        // By this address it may only be known where clients use it: then the host is not served.
        Ok(reply) if reply.status == 421 => Ok(format!("{listen} answers, to {origin} only")),
        Ok(reply) if reply.status == 404 && config.root.auth.mode.value == Mode::None => {
            Ok(format!("{listen} answers, and wants no log-in"))
        }
        Ok(reply) => judge::document(path, &reply)
            .and_then(|document| judge::server(&document, origin))
            .map(|_| format!("{listen} answers as {origin}")),
        Err(ill) if ill.verdict == "unreachable" => Err(Ill::fails(
            "not-running",
            format!("nobody listens on {listen}, the address of `listen`"),
            "Start the gateway: `sallyport serve` with this configuration.",
        )),
        Err(ill) => Err(ill),
    };
    report.note("listener", judged);
}

/// Where this machine reaches an address that is listened on.
fn near(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ready(status: u16, body: &str) -> Result<String, Ill> {
    match status {
        200 => Ok("ready".to_owned()),
        status => Err(Ill::fails(
            "not-ready",
            format!("`/readyz` answers {status}: {}", body.trim()),
            "See the gateway's log.",
        )),
    }
}

/// The free bytes on the disk of a folder.
fn free(folder: &Path) -> Result<u64, String> {
    let found = rustix::fs::statvfs(folder).map_err(|error| error.to_string())?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn room(free: Result<u64, String>) -> Result<String, Ill> {
    let mend = "Make room: the audit trail is written before a call is let through, so without room there are no calls.";
    match free {
        Ok(free) if free < NOTHING => Err(Ill::fails(
            "disk-full",
            format!("{} MiB are left", free >> 20),
            mend,
        )),
        Ok(free) if free < LITTLE => Err(Ill::warning(
            "disk-nearly-full",
            format!("{} MiB are left", free >> 20),
            mend,
        )),
        Ok(free) => Ok(format!("{} GiB", free >> 30)),
        Err(error) => Err(Ill::warning("disk-unknown", error, "")),
    }
}

/// How long the shortest-lived access token may live is told to clients; some renew all the time below five minutes.
pub(super) fn token_life(config: &Config) -> Duration {
    config.root.auth.tokens.access_ttl.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(judged: Result<String, Ill>) -> &'static str {
        judged.map_or_else(|ill| ill.verdict, |_| "ok")
    }

    #[test]
    fn room_at_the_limits_and_one_past_them() {
        for (free, expected) in [
            (LITTLE, "ok"),
            (LITTLE - 1, "disk-nearly-full"),
            (NOTHING, "disk-nearly-full"),
            (NOTHING - 1, "disk-full"),
        ] {
            assert_eq!(verdict(room(Ok(free))), expected, "{free}");
        }
        assert_eq!(verdict(room(Err("no".to_owned()))), "disk-unknown");
    }

    #[test]
    fn what_is_listened_on_everywhere_is_reached_here() {
        for (listen, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(near(listen.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn readiness_is_told_with_its_reason() {
        assert_eq!(verdict(ready(200, "")), "ok");
        let ill = ready(503, "the store cannot be read\n").unwrap_err();
        assert!(
            ill.verdict == "not-ready" && ill.text.ends_with("cannot be read"),
            "{ill:?}"
        );
    }
}
