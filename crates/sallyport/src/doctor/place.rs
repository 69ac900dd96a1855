//! Where the gateway is, as the world sees it, and what its own records say.

use std::net::IpAddr;
use std::time::Duration;

use sallyport_core::{Clock, Timestamp};
use sallyport_net::egress::{Kind, Resolve as _, SystemResolver, kind};
use sallyport_oauth::flight::Trace;
use sallyport_oauth::flight::trace::Sender;
use sallyport_oauth::flight::verdict::State;
use sallyport_store::{Store, StoreError};
use url::{Host, Url};

use super::finding::Ill;
use super::wire::NAME;

/// How often, and how many times, the records are asked for what has just happened: they are written within a fifth of a
/// second.
const ASK: Duration = Duration::from_millis(100);
const TIMES: usize = 15;
/// How long after the last request everything has been written.
const WRITTEN: Duration = Duration::from_millis(500);

/// The public origin, and the records of log-ins where they can be read.
pub(super) struct Place {
    pub(super) url: Url,
    pub(super) addresses: Result<Vec<IpAddr>, String>,
    pub(super) records: Option<Records>,
}

/// The records of log-ins since the begin of the doctor's own.
pub(super) struct Records {
    pub(super) store: Store,
    pub(super) since: Timestamp,
}

impl Place {
    /// Looks the name up.
    pub(super) async fn find(url: Url, store: Option<Store>, clock: &dyn Clock) -> Self {
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => Ok(vec![IpAddr::V4(address)]),
            Some(Host::Ipv6(address)) => Ok(vec![IpAddr::V6(address)]),
            Some(Host::Domain(name)) => SystemResolver
                .resolve(name)
                .await
                .map_err(|error| error.to_string()),
            None => Err("the URL names no host".to_owned()),
        };
        let since = clock.now();
        Self {
            url,
            addresses,
            records: store.map(|store| Records { store, since }),
        }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether all addresses are of this kind; not where there is none.
    fn all(&self, is: impl Fn(Kind) -> bool) -> bool {
        let addresses = self.addresses.as_deref().unwrap_or_default();
        !addresses.is_empty() && addresses.iter().all(|address| is(kind(*address)))
    }

    /// Whether the servers of a client's maker can reach it: they call from the open network, over https.
    pub(super) fn is_on_the_open_network(&self, label: &str) -> Result<String, Ill> {
        let url = self.url.as_str().trim_end_matches('/');
        if let Ok(addresses) = &self.addresses
            && let Some(inner) = addresses.iter().find(|address| kind(**address) != Kind::Public)
        {
            return Err(Ill::fails(
                "not-on-the-open-network",
                format!(
                    "{label} calls from its maker's servers, and {} is at {inner} ({}), which they cannot reach",
                    self.host(),
                    kind(*inner)
                ),
                "Give the gateway a public name: a reverse proxy on a host with a public address, or a tunnel (Cloudflare Tunnel, \
                 Tailscale Funnel), and set `public_url` to it.",
            ));
        }
        if self.url.scheme() != "https" {
            return Err(Ill::fails(
                "not-https",
                format!("{label} calls https only, and `public_url` is {url}"),
                "Put a reverse proxy with a certificate in front (Caddy gets one by itself), and set `public_url` to its https \
                 address.",
            ));
        }
        if let Err(error) = &self.addresses {
            return Err(self.unresolved(error));
        }
        Ok(format!("its maker's servers can reach {url}"))
    }

    /// Whether passwords and tokens are safe on their way from people's machines.
    pub(super) fn is_safe_for_machines(&self) -> Result<String, Ill> {
        let url = self.url.as_str().trim_end_matches('/');
        if let Err(error) = &self.addresses {
            return Err(self.unresolved(error));
        }
        if self.url.scheme() == "https" || self.all(|kind| kind == Kind::Loopback) {
            return Ok(format!("from a person's machine, to {url}"));
        }
        Err(Ill::warning(
            "plain-http",
            format!(
                "{url} is plain http to another machine: passwords and tokens can be read on the way, and some clients refuse it"
            ),
            "Put a reverse proxy with a certificate in front, and set `public_url` to its https address.",
        ))
    }

    /// Where the name leads.
    pub(super) fn resolved(&self) -> Result<String, Ill> {
        match &self.addresses {
            Ok(addresses) if !addresses.is_empty() => {
                let shown: Vec<String> = addresses
                    .iter()
                    .map(|address| format!("{address} ({})", kind(*address)))
                    .collect();
                Ok(format!("{} is at {}", self.host(), shown.join(", ")))
            }
            Ok(_) => Err(self.unresolved("no address")),
            Err(error) => Err(self.unresolved(error)),
        }
    }

    fn unresolved(&self, error: &str) -> Ill {
        Ill::fails(
            "name-unresolved",
            format!("{} does not resolve: {error}", self.host()),
            "Add an A or AAAA record for the name at your DNS provider, or correct `public_url`.",
        )
    }

    /// Takes the records of the doctor's own requests away, so that nobody looks for a client that there never was. They
    /// stay where they cannot be read.
    pub(super) async fn leave(&self, now: Timestamp) {
        let Some(records) = &self.records else {
            return;
        };
        tokio::time::sleep(WRITTEN).await;
        if let Err(error) = records.remove(now).await {
            tracing::warn!(%error, "the records of the doctor's own requests stay");
        }
    }

    /// With what the gateway itself has written down about it, where that can be read.
    pub(super) async fn explained(&self, ill: Ill) -> Ill {
        let Some(records) = &self.records else {
            return ill;
        };
        for _ in 0..TIMES {
            if let Some((text, mend)) = records.refusal().await {
                return Ill {
                    text: format!("{}. {text}", ill.text),
                    mend,
                    ..ill
                };
            }
            tokio::time::sleep(ASK).await;
        }
        ill
    }
}

impl Records {
    /// The records in which nobody but the doctor is.
    async fn own(&self) -> Result<Vec<Trace>, StoreError> {
        let mut traces = self.store.logins(self.since).await?;
        let is_own = |sender: &Sender| sender.agent.as_str().contains(NAME);
        traces.retain(|trace| !trace.senders.is_empty() && trace.senders.iter().all(is_own));
        Ok(traces)
    }

    async fn remove(&self, now: Timestamp) -> Result<(), StoreError> {
        let own = self.own().await?.into_iter().map(|trace| trace.id);
        self.store.put_logins(&[], &own.collect::<Vec<_>>(), now).await
    }

    /// What was refused to the doctor last, and the mend.
    async fn refusal(&self) -> Option<(String, String)> {
        let last = self
            .own()
            .await
            .ok()?
            .into_iter()
            .max_by_key(|trace| trace.seen)?;
        let verdict = last.verdict(last.seen);
        (verdict.state == State::Refused)
            .then(|| (format!("{} [{}]", verdict.text, verdict.name), verdict.mend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str, addresses: &[&str]) -> Place {
        Place {
            url: Url::parse(url).unwrap(),
            addresses: Ok(addresses.iter().map(|text| text.parse().unwrap()).collect()),
            records: None,
        }
    }

    #[test]
    fn makers_servers_reach_public_https_only() {
        for (url, addresses, expected) in [
            ("https://mcp.example.com/", &["8.8.8.8"][..], "ok"),
            ("https://mcp.example.com/", &["8.8.8.8", "2606:4700::1"], "ok"),
            ("http://mcp.example.com/", &["8.8.8.8"], "not-https"),
            (
                "https://mcp.example.com/",
                &["192.168.1.4"],
                "not-on-the-open-network",
            ),
            (
                "https://mcp.example.com/",
                &["8.8.8.8", "fd00::1"],
                "not-on-the-open-network",
            ),
            (
                "https://mcp.example.com/",
                &["100.64.0.1"],
                "not-on-the-open-network",
            ),
            (
                "http://localhost:8717/",
                &["127.0.0.1"],
                "not-on-the-open-network",
            ),
        ] {
            let judged = place(url, addresses).is_on_the_open_network("Claude");
            let verdict = judged.map_or_else(|ill| ill.verdict, |_| "ok");
            assert_eq!(verdict, expected, "{url} {addresses:?}");
        }
    }

    #[test]
    fn plain_http_is_for_ones_own_machine() {
        for (url, addresses, expected) in [
            ("http://127.0.0.1:8717/", &["127.0.0.1"][..], "ok"),
            ("http://localhost:8717/", &["::1", "127.0.0.1"], "ok"),
            ("http://nas.lan:8717/", &["192.168.1.4"], "plain-http"),
            ("https://nas.lan/", &["192.168.1.4"], "ok"),
        ] {
            let judged = place(url, addresses).is_safe_for_machines();
            let verdict = judged.map_or_else(|ill| ill.verdict, |_| "ok");
            assert_eq!(verdict, expected, "{url}");
        }
        let mut lost = place("https://nowhere.example/", &[]);
        lost.addresses = Err("no such host".to_owned());
        assert_eq!(
            lost.is_safe_for_machines().unwrap_err().verdict,
            "name-unresolved"
        );
        assert_eq!(
            lost.is_on_the_open_network("Claude").unwrap_err().verdict,
            "name-unresolved"
        );
        assert_eq!(lost.resolved().unwrap_err().verdict, "name-unresolved");
    }
}
