//! A client gets a token in its own name (OAuth 2.1 §4.2). There is no refresh token: it can ask again.

use axum::response::Response;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::{GrantId, Resource, ScopeSet};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::model::Grant;
use sallyport_oauth::{Params, own_name};

use super::answer::{ApiError, internal};
use super::{Holder, refuse_grant, signed};
use crate::app::App;
use crate::context::Context;

pub(super) async fn exchange(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (scope, params, holder): (Option<&str>, &Params, &Holder),
) -> Result<Response, ApiError> {
    let resources = context.settings.resources.iter();
    let resources = resources.map(|info| (info.path.as_str(), &info.resource));
    let decided = own_name::decide(client, scope, params.all("resource"), resources);
    let (resource, scopes) = decided.map_err(|error| {
        let refusal = (None, error.code(), error.to_string());
        refuse_grant(app, context, client, refusal)
    })?;
    let grant = grant(app, context, client, (resource, scopes)).await?;
    let event = context.event(Action::TokenIssue, Outcome::Ok);
    let claims = signed::claims(app, context, &grant);
    let signed = signed::sign(app, context, holder, claims, event.because("in its own name")).await?;
    signed.alone(app, context.now).await
}

/// The grant that the client has, or another one.
async fn grant(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (resource, scopes): (Resource, ScopeSet),
) -> Result<Grant, ApiError> {
    let (settings, store, now) = (&context.settings, &app.parts.store, context.now);
    let id = &client.client().id;
    let user = own_name::user(id);
    let known = store
        .grants_of(&user)
        .await
        .map_err(internal("find the grants"))?;
    let needed_until = now.plus(settings.access_ttl);
    let wanted = (&resource, &scopes);
    let serving = known
        .into_iter()
        .find(|grant| own_name::serves(grant, wanted, needed_until));
    if let Some(grant) = serving {
        return Ok(grant);
    }
    let grant = Grant {
        id: GrantId::generate(app.parts.random.as_ref()),
        user,
        client: id.clone(),
        resource,
        scopes,
        created: now,
        expires: now.plus(settings.refresh_absolute.max(settings.access_ttl)),
        revoked: None,
    };
    store
        .insert_grant(&grant)
        .await
        .map_err(internal("keep the grant"))?;
    Ok(grant)
}
