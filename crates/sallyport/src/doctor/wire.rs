//! Requests as a client sends them, over the guarded way out, and what came back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use sallyport_core::Secret;
use sallyport_net::Reach;
use sallyport_net::egress::{Egress, EgressError, Fetch};
use sallyport_net::http1::{Headers, RequestHead, Trouble};
use tokio::time::Instant;
use url::Url;

use super::finding::Ill;

/// How long one request may take: clients that log in wait about so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 256 << 10;
/// What the requests of the doctor are known by in logs, after the name of the program that they stand for.
pub(super) const NAME: &str = concat!("sallyport-doctor/", env!("CARGO_PKG_VERSION"));

/// The way to one origin.
pub(super) struct Wire {
    egress: Arc<Egress>,
    /// `scheme://host[:port]`, without a slash at the end.
    origin: String,
    agent: String,
}

/// One request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Ask {
    /// A GET of a document.
    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path).with("accept", "application/json")
    }

    /// A GET as a browser sends it.
    pub(super) fn page(path: &str) -> Self {
        Self::new(Method::GET, path).with("accept", "text/html")
    }

    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a token, if there is one.
    pub(super) fn bearing(self, token: Option<&Secret<String>>) -> Self {
        match token {
            Some(token) => self.with("authorization", format!("Bearer {}", token.expose())),
            None => self,
        }
    }

    /// With a JSON body.
    pub(super) fn json(self, body: &serde_json::Value) -> Self {
        let mut this = self.with("content-type", "application/json");
        this.body = body.to_string().into_bytes();
        this
    }

    /// With a form.
    pub(super) fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut this = self
            .with("content-type", "application/x-www-form-urlencoded")
            .with("accept", "application/json");
        this.body = encoded(fields).into_bytes();
        this
    }
}

/// Fields as a query or a form.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

impl Reply {
    /// The first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The media type in lower case, without parameters.
    pub(super) fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }

    /// Where a redirect goes, without its query: that may hold what is nobody's business.
    pub(super) fn location(&self) -> String {
        let location = self.header("location").unwrap_or("nowhere");
        let bare = location.split(['?', '#']).next().unwrap_or_default();
        bare.to_owned()
    }

    /// The status, and who says that it answered.
    pub(super) fn shown(&self) -> String {
        match self.header("server") {
            Some(server) => format!("{} (Server: {server})", self.status),
            None => self.status.to_string(),
        }
    }
}

impl Wire {
    pub(super) fn new(egress: Arc<Egress>, origin: &str, agent: &str) -> Self {
        Self {
            egress,
            origin: origin.trim_end_matches('/').to_owned(),
            agent: format!("{agent} {NAME}").trim().to_owned(),
        }
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> Result<Url, Ill> {
        let text = format!("{}{path}", self.origin);
        Url::parse(&text).map_err(|error| {
            Ill::fails(
                "url",
                format!("{text} is no URL: {error}"),
                "Correct `public_url`.",
            )
        })
    }

    /// The head of a request.
    pub(super) fn head(&self, ask: &Ask) -> Result<RequestHead, Ill> {
        let mut head = RequestHead::new(ask.method.clone());
        let own = ("user-agent", self.agent.clone());
        for (name, value) in ask.headers.iter().chain([&own]) {
            head.put(name, value)
                .map_err(|error| Ill::fails("request", format!("`{name}` cannot be sent: {error}"), ""))?;
        }
        Ok(head)
    }

    /// Asks, and judges what came back.
    ///
    /// # Errors
    /// What is wrong with it, or that nothing came.
    pub(super) async fn judged<T>(
        &self,
        ask: &Ask,
        judge: impl FnOnce(&Reply) -> Result<T, Ill>,
    ) -> Result<T, Ill> {
        judge(&self.ask(ask).await?)
    }

    /// Asks, and follows no redirect.
    ///
    /// # Errors
    /// Where no answer came.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Reply, Ill> {
        let since = Instant::now();
        let fetch = Fetch {
            head: self.head(ask)?,
            url: &self.url(&ask.path)?,
            reach: Reach::Operator,
            body: &ask.body,
            limit: LONGEST,
            time: PATIENCE,
        };
        let fetched = self
            .egress
            .fetch(fetch)
            .await
            .map_err(|error| unreached(&error))?;
        Ok(Reply {
            status: fetched.status,
            headers: headers(&fetched.headers),
            body: fetched.body,
            took: since.elapsed(),
        })
    }
}

/// Header fields as text.
pub(super) fn headers(headers: &Headers) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect()
}

/// Why no answer came.
pub(super) fn unreached(error: &EgressError) -> Ill {
    let (verdict, mend) = match error {
        EgressError::Fetch { source, .. } => match Trouble::of(source) {
            Some(Trouble::Egress(inner)) => return unreached(inner),
            _ => (
                "answer-broken",
                "What is in front of the gateway closes the connection or does not answer in HTTP/1.1; see its log.",
            ),
        },
        EgressError::Resolve { .. } => (
            "name-unresolved",
            "Add an A or AAAA record for the name at your DNS provider, or correct `public_url`.",
        ),
        EgressError::Connect { .. } => (
            "unreachable",
            "Start the gateway and what is in front of it, and open the port in firewall and router.",
        ),
        EgressError::Timeout(_) => (
            "no-answer",
            "Something takes the connection and says nothing: look at the firewall, the tunnel and the proxy's log.",
        ),
        EgressError::Tls { source, .. } => return tls(error, source),
        EgressError::Address { .. } | EgressError::Metadata(_) | EgressError::Url(_) => (
            "address-out-of-reach",
            "Correct `public_url`, or the DNS record of its name.",
        ),
    };
    Ill::fails(verdict, error.to_string(), mend)
}

/// What is wrong with a certificate.
fn tls(error: &EgressError, source: &std::io::Error) -> Ill {
    use rustls::{CertificateError as Wrong, Error};
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let (verdict, mend) = match inner {
        Some(Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. })) => (
            "certificate-expired",
            "Renew the certificate, and see why it was not renewed by itself.",
        ),
        Some(Error::InvalidCertificate(Wrong::NotValidYet | Wrong::NotValidYetContext { .. })) => (
            "certificate-not-valid-yet",
            "Set the clock of this machine or of the one that made the certificate.",
        ),
        Some(Error::InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. })) => (
            "certificate-of-another-name",
            "Get a certificate for the host in `public_url`.",
        ),
        Some(Error::InvalidCertificate(Wrong::UnknownIssuer)) => (
            "certificate-unknown-issuer",
            "Serve the whole chain (`fullchain.pem`, not `cert.pem`), from an authority that everybody knows, as Let's \
             Encrypt is.",
        ),
        _ => (
            "tls-failed",
            "See that the port speaks TLS 1.2 or 1.3 with a certificate for the host in `public_url`.",
        ),
    };
    Ill::fails(verdict, error.to_string(), mend)
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error};

    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_named() {
        for (error, expected) in [
            (
                Error::InvalidCertificate(CertificateError::Expired),
                "certificate-expired",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidYet),
                "certificate-not-valid-yet",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForName),
                "certificate-of-another-name",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "certificate-unknown-issuer",
            ),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                "tls-failed",
            ),
        ] {
            let error = EgressError::Tls {
                host: "h".to_owned(),
                source: std::io::Error::other(error),
            };
            let ill = unreached(&error);
            assert_eq!(ill.verdict, expected);
            assert!(!ill.mend.is_empty());
        }
    }

    #[test]
    fn why_nothing_came_is_named() {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let host = || "h".to_owned();
        for (error, expected) in [
            (
                EgressError::Resolve {
                    host: host(),
                    source: refused(),
                },
                "name-unresolved",
            ),
            (
                EgressError::Connect {
                    host: host(),
                    source: refused(),
                },
                "unreachable",
            ),
            (EgressError::Timeout(host()), "no-answer"),
            (EgressError::Metadata(host()), "address-out-of-reach"),
        ] {
            assert_eq!(unreached(&error).verdict, expected);
        }
    }
}
