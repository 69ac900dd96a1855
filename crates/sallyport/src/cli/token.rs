//! `token issue`: access tokens and API keys by command.

use std::net::SocketAddr;

use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_core::capability::SignToken as _;
use sallyport_core::{ClientId, GrantId, ProfileSlug, Resource, ScopeSet, Secret, TokenId};
use sallyport_oauth::model::Grant;
use sallyport_oauth::token_set;
use sallyport_vault::verifier::api_keys;

use super::Failure;
use super::args::{IssueArgs, TokenVerb};
use super::output;
use super::tokens;
use super::verb::Run;
use crate::base::Base;
use crate::config::check::LONG_ACCESS;
use crate::config::value::Period;
use crate::keys;

/// The client that tokens from the command line name.
pub(super) const CLIENT: &str = "sallyport-cli";
/// The client that API keys name.
pub(super) const KEY_CLIENT: &str = "sallyport-api-key";

/// How long something that is issued lives, by default and at most.
struct Life {
    default: Period,
    longest: Period,
}

/// An access token cannot be looked up, so it should not live long.
const TOKEN: Life = Life {
    default: Period::secs(3600),
    longest: Period::secs(30 * 86_400),
};

/// An API key has to be renewed once a year at least.
const KEY: Life = Life {
    default: Period::secs(90 * 86_400),
    longest: Period::secs(366 * 86_400),
};

pub(super) async fn run(run: &Run, verb: &TokenVerb) -> Result<(), Failure> {
    match verb {
        TokenVerb::Issue(args) => issue(run, args).await,
        TokenVerb::List { user } => tokens::list(run, user.as_deref()).await,
        TokenVerb::Revoke { id } => tokens::revoke(run, id).await,
        TokenVerb::Rotate { id, overlap } => tokens::rotate(run, id, *overlap).await,
    }
}

async fn issue(run: &Run, args: &IssueArgs) -> Result<(), Failure> {
    let life = if args.api_key { &KEY } else { &TOKEN };
    let ttl = args.ttl.unwrap_or(life.default);
    if ttl > life.longest || ttl < Period::secs(1) {
        let longest = life.longest;
        return Err(Failure::Usage(format!("--ttl must be between 1s and {longest}")));
    }
    let scopes = ScopeSet::parse(&args.scope);
    if scopes.is_empty() {
        return Err(Failure::Usage(
            "--scope names no scope; leave it out for `mcp`".to_owned(),
        ));
    }
    if !args.api_key && ttl > LONG_ACCESS {
        output::note(&format!(
            "the token is good for {ttl}: keep it like a password; it cannot be refreshed, only revoked"
        ));
    }
    let base = run.base().await?;
    let found = base.store.user_by_name(&args.user).await?;
    let found = found.ok_or_else(|| no_user(&args.user))?;
    let origin = origin(&base)?;
    let now = base.clock.now();
    let grant = Grant {
        id: GrantId::generate(&*base.random),
        user: found.id,
        client: ClientId::new(if args.api_key { KEY_CLIENT } else { CLIENT }),
        resource: resource(&base, &origin, &args.profile)?,
        scopes,
        created: now,
        expires: now.plus(ttl.0),
        revoked: None,
    };
    let (name, secret) = if args.api_key {
        ("api_key", key(&base, &grant, args).await?)
    } else {
        ("access_token", token(&base, &grant, args, &origin).await?)
    };
    base.store.close().await;
    if !run.is_json() {
        return Ok(output::text(secret.expose())?);
    }
    let mut value = serde_json::json!({
        "id": grant.id.as_str(),
        "token_type": "Bearer",
        "expires_in": ttl.0.as_secs(),
        "resource": grant.resource,
    });
    if let Some(members) = value.as_object_mut() {
        members.insert(name.to_owned(), secret.expose().as_str().into());
    }
    Ok(output::json(&value)?)
}

async fn key(base: &Base, grant: &Grant, args: &IssueArgs) -> Result<Secret<String>, Failure> {
    let (key, digest) = api_keys::new_key(&*base.vault, &*base.random);
    let event = event(grant, args, Action::ApiKeyIssue);
    record(base, event).await?;
    base.store.insert_api_key(grant, &digest, None).await?;
    Ok(key)
}

async fn token(
    base: &Base,
    grant: &Grant,
    args: &IssueArgs,
    origin: &str,
) -> Result<Secret<String>, Failure> {
    let (signer, ring) = keys::signer(base, origin).await?;
    // The key stays until this token has ended.
    let kid = ring.active.key.kid();
    base.store.note_token_end(kid, grant.expires).await?;
    record(base, event(grant, args, Action::TokenIssue)).await?;
    base.store.insert_grant(grant).await?;
    let life = grant.expires.since(grant.created);
    let token = TokenId::generate(&*base.random);
    let claims = token_set::access_claims(grant, grant.scopes.clone(), token, grant.created, life);
    let signed = signer.sign(&claims).map_err(anyhow::Error::from)?;
    Ok(signed)
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

pub(super) fn no_user(name: &str) -> Failure {
    Failure::failed(format!(
        "there is no user `{name}`; `sallyport user list` shows those that there are"
    ))
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

fn event(grant: &Grant, args: &IssueArgs, action: Action) -> Event {
    let event = Event {
        user: Some(grant.user.clone()),
        client: Some(grant.client.clone()),
        grant: Some(grant.id.clone()),
        profile: Some(args.profile.clone()),
        ..Event::new(action, Outcome::Ok)
    };
    event.on(&args.user).because("by command")
}

/// Writes the record of what is about to be done.
pub(super) async fn record(base: &Base, event: Event) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let recorded = trail.record_durably(event).await;
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}
