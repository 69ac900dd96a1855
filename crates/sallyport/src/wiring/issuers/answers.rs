//! What another issuer says of an opaque token (RFC 7662).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use sallyport_core::{Secret, Timestamp};
use sallyport_net::Reach;
use sallyport_net::egress::{Egress, Fetch};
use sallyport_net::http1::RequestHead;
use sallyport_oauth::foreign;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::Serializer;

/// How long a no is remembered, so that a stranger's token is not a question with every request.
pub(super) const REFUSED: Duration = Duration::from_secs(10);

/// How long before its end an answer is renewed for those who use it: streams look every 15 seconds at least.
const SOON: Duration = Duration::from_secs(20);

/// The longest answer, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// How long an answer may take.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Where and as whom an issuer is asked.
pub(in crate::wiring) struct Answers {
    endpoint: Url,
    /// The value of `Authorization`.
    basic: Secret<String>,
}

/// Whether an answer should be renewed now.
pub(super) fn ends_soon(until: Timestamp, now: Timestamp) -> bool {
    until < now.plus(SOON)
}

impl Answers {
    /// Asks `endpoint` as `client`.
    pub(in crate::wiring) fn new(endpoint: Url, client: &str, secret: &Secret<String>) -> Self {
        let basic = foreign::basic(client, secret);
        Self { endpoint, basic }
    }

    /// Whether the issuer says what a token is good for.
    ///
    /// # Errors
    /// It does not, in words.
    pub(super) async fn examine(&self, egress: &Arc<Egress>) -> Result<String, String> {
        let url = &self.endpoint;
        match self.ask(egress, "sallyport-doctor").await {
            Some(answer) if answer.contains_key("active") => {
                Ok(format!("{url} says what a token is good for"))
            }
            _ => Err(format!("{url} does not say what a token is good for (RFC 7662)")),
        }
    }

    /// What the issuer says of a token; `None` if it cannot be asked, which is then nobody's fault for long.
    pub(super) async fn ask(&self, egress: &Arc<Egress>, token: &str) -> Option<Map<String, Value>> {
        let mut head = RequestHead::new(Method::POST);
        for (name, value) in [
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", self.basic.expose().as_str()),
        ] {
            if head.put(name, value).is_err() {
                return None;
            }
        }
        let form = Secret::new(
            Serializer::new(String::new())
                .append_pair("token", token)
                .append_pair("token_type_hint", "access_token")
                .finish(),
        );
        let fetch = Fetch {
            head,
            url: &self.endpoint,
            reach: Reach::Operator,
            body: form.expose().as_bytes(),
            limit: MAX_BYTES,
            time: MAX_TIME,
        };
        match egress.fetch(fetch).await {
            Ok(fetched) if fetched.status == 200 => serde_json::from_slice(&fetched.body).ok(),
            Ok(fetched) => {
                tracing::warn!(
                    status = fetched.status,
                    "an issuer does not say what a token is good for"
                );
                None
            }
            Err(error) => {
                tracing::warn!(%error, "an issuer cannot be asked what a token is good for");
                None
            }
        }
    }
}
