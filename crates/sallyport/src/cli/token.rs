//! `token issue`.

use std::net::SocketAddr;

use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_core::capability::{AccessClaims, SignToken as _};
use sallyport_core::{ClientId, GrantId, ProfileSlug, Resource, ScopeSet, TokenId};
use sallyport_oauth::model::Grant;

use super::Failure;
use super::args::TokenVerb;
use super::output;
use super::verb::Run;
use crate::base::Base;
use crate::config::value::Period;
use crate::keys;

/// The client that tokens from the command line name.
const CLIENT: &str = "sallyport-cli";
/// The longest life of a token from the command line.
const MAX_TTL: Period = Period::secs(30 * 86_400);

pub(super) async fn run(run: &Run, verb: &TokenVerb) -> Result<(), Failure> {
    let TokenVerb::Issue {
        user,
        profile,
        scope,
        ttl,
    } = verb;
    if *ttl > MAX_TTL || *ttl < Period::secs(1) {
        return Err(Failure::Usage(format!("--ttl must be between 1s and {MAX_TTL}")));
    }
    let scopes = ScopeSet::parse(scope);
    if scopes.is_empty() {
        return Err(Failure::Usage(
            "--scope names no scope; leave it out for `mcp`".to_owned(),
        ));
    }
    let base = run.base().await?;
    let found = base.store.user_by_name(user).await?;
    let found = found.ok_or_else(|| {
        Failure::failed(format!(
            "there is no user `{user}`; `sallyport user list` shows those that there are"
        ))
    })?;
    let origin = origin(&base)?;
    let resource = resource(&base, &origin, profile)?;
    let now = base.clock.now();
    let grant = Grant {
        id: GrantId::generate(&*base.random),
        user: found.id.clone(),
        client: ClientId::new(CLIENT),
        resource: resource.clone(),
        scopes: scopes.clone(),
        created: now,
        expires: now.plus(ttl.0),
        revoked: None,
    };
    let claims = AccessClaims {
        user: found.id,
        client: grant.client.clone(),
        audience: resource,
        scopes,
        token: TokenId::generate(&*base.random),
        key: None,
        grant: grant.id.clone(),
        issued: now,
        expires: grant.expires,
    };
    let ring = keys::ring(&base, &origin).await?;
    record(&base, &grant, user, profile).await?;
    base.store.insert_grant(&grant).await?;
    let token = ring.signer.sign(&claims).map_err(anyhow::Error::from)?;
    base.store.close().await;
    if run.is_json() {
        let value = serde_json::json!({
            "access_token": token.expose(),
            "token_type": "Bearer",
            "expires_in": ttl.0.as_secs(),
            "resource": claims.audience,
        });
        return Ok(output::json(&value)?);
    }
    Ok(output::text(token.expose())?)
}

/// The issuer, as the gateway on the same configuration has it.
pub(super) fn origin(base: &Base) -> Result<String, Failure> {
    let listen: SocketAddr = base.config.root.listen.value.0;
    if base.config.root.public_url.is_none() && listen.port() == 0 {
        return Err(Failure::failed(
            "the gateway's URL is not known: `listen` has port 0; set `public_url`",
        ));
    }
    Ok(base.public_origin(listen))
}

/// Whether there is the profile.
pub(super) fn check_profile(base: &Base, profile: &ProfileSlug) -> Result<(), Failure> {
    let profiles = &base.config.root.profiles;
    let is_default = profile.as_str() == "default";
    let exists = profiles.get(profile.as_str()).is_some() || (is_default && profiles.0.is_empty());
    if exists {
        Ok(())
    } else {
        Err(Failure::failed(format!("there is no profile `{profile}`")))
    }
}

fn resource(base: &Base, origin: &str, profile: &ProfileSlug) -> Result<Resource, Failure> {
    check_profile(base, profile)?;
    let path = if profile.as_str() == "default" {
        "/mcp".to_owned()
    } else {
        format!("/mcp/{profile}")
    };
    Resource::parse(&format!("{origin}{path}")).map_err(|error| Failure::Failed(error.into()))
}

async fn record(base: &Base, grant: &Grant, user: &str, profile: &ProfileSlug) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let event = Event {
        user: Some(grant.user.clone()),
        client: Some(grant.client.clone()),
        grant: Some(grant.id.clone()),
        profile: Some(profile.clone()),
        ..Event::new(Action::TokenIssue, Outcome::Ok)
    };
    let recorded = trail.record_durably(event.on(user).because("by command")).await;
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}
