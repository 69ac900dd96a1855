//! What the gateway depends on: the servers behind it, the identity providers, and other issuers of tokens.

use std::sync::Arc;

use http::Method;
use sallyport_core::ProfileSlug;
use sallyport_net::Reach;
use sallyport_net::egress::{Egress, Fetch};
use sallyport_net::http1::RequestHead;
use sallyport_oauth::provider::MAX_ANSWER;
use sallyport_oauth::provider::oidc::{Metadata, Provider};
use url::Url;

use super::finding::{Ill, Report};
use super::wire::{self, NAME, PATIENCE};
use crate::base::Base;
use crate::environment::Environment;
use crate::wiring::{self, Local};

/// Connects each server of a profile as the gateway does, and says which revisions it speaks.
pub(super) async fn servers(
    report: &mut Report,
    base: &Base,
    environment: &Environment,
    profile: &ProfileSlug,
) {
    report.begin("servers");
    let local = match Local::connect(base, environment, profile).await {
        Ok(local) => local,
        Err(error) => {
            report.ill(
                profile.to_string(),
                Ill::fails("servers", error.to_string(), "Correct `profiles` or `servers`."),
            );
            return;
        }
    };
    for (name, contact) in local.contacts() {
        let judged = contact.map_err(|reason| {
            Ill::fails(
                "server-away",
                reason,
                format!("Its address or command is in `sallyport get {name}`; try it by itself, and see the gateway's log."),
            )
        });
        report.note(name.to_string(), judged);
    }
    local.close().await;
}

/// Reads each OpenID provider's document and keys as the gateway does, and reaches GitHub.
pub(super) async fn providers(report: &mut Report, base: &Base, egress: &Arc<Egress>) {
    report.begin("identity providers");
    let auth = &base.config.root.auth;
    for row in auth.oidc.iter() {
        if let Some(provider) = row.value.value.provider(&row.key) {
            let judged = openid(egress, &provider).await;
            report.note(provider.name.clone(), judged);
        }
    }
    if let Some(github) = auth.github.as_ref().and_then(|app| app.github(false)) {
        let judged = match get(egress, &github.api, Reach::Operator).await {
            Ok((status, _)) if status < 500 => Ok(format!("{} answers", github.api)),
            Ok((status, _)) => Err(away(format!("{} answers with {status}", github.api))),
            Err(ill) => Err(ill),
        };
        report.note("github", judged);
    }
}

/// Gets the keys of each issuer of tokens, or asks it about one, as the gateway does.
pub(super) async fn issuers(report: &mut Report, base: &Base, egress: &Arc<Egress>) {
    report.begin("issuers of tokens");
    for (name, judged) in wiring::examine(&base.config.root.auth.issuers, egress).await {
        let mend = format!("Correct `auth.issuers.{name}`, or open the way to it from this machine.");
        report.note(
            name,
            judged.map_err(|text| Ill::fails("issuer-unusable", text, mend)),
        );
    }
}

async fn openid(egress: &Arc<Egress>, provider: &Provider) -> Result<String, Ill> {
    let wrong = |error: &dyn std::fmt::Display| {
        Ill::fails(
            "provider-wrong",
            error.to_string(),
            format!(
                "Write `auth.oidc.{}.issuer` exactly as the provider's own document does.",
                provider.name
            ),
        )
    };
    let url = provider.discovery().map_err(|error| wrong(&error))?;
    let (status, body) = get(egress, &url, Reach::Operator).await?;
    let metadata = Metadata::read(provider, status, &body).map_err(|error| wrong(&error))?;
    // The operator has named the issuer's host; another one has to be on the open network.
    let reach = if metadata.jwks_uri.host() == url.host() {
        Reach::Operator
    } else {
        Reach::Public
    };
    match get(egress, &metadata.jwks_uri, reach).await? {
        (200, _) => Ok(format!("{} tells of itself and of its keys", provider.issuer)),
        (status, _) => Err(away(format!("{} answers with {status}", metadata.jwks_uri))),
    }
}

fn away(text: String) -> Ill {
    Ill::fails(
        "provider-away",
        text,
        "Look at the provider's own state page, and at the way out of this machine.",
    )
}

async fn get(egress: &Arc<Egress>, url: &Url, reach: Reach) -> Result<(u16, bytes::Bytes), Ill> {
    let mut head = RequestHead::new(Method::GET);
    for (name, value) in [("accept", "application/json"), ("user-agent", NAME)] {
        head.put(name, value)
            .map_err(|error| Ill::fails("request", error.to_string(), ""))?;
    }
    let fetch = Fetch {
        head,
        url,
        reach,
        body: &[],
        limit: MAX_ANSWER,
        time: PATIENCE,
    };
    let fetched = egress.fetch(fetch).await.map_err(|error| Ill {
        mend: "Correct the address in `auth`, or open the way to it from this machine.".to_owned(),
        verdict: "provider-away",
        ..wire::unreached(&error)
    })?;
    Ok((fetched.status, fetched.body))
}
