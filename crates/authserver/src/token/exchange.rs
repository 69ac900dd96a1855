//! A client gets a narrower token for one that somebody has given it (RFC 8693). It belongs to the same grant, so that it
//! ends with it, and ends no later than the token that it was made from.

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::AccessClaims;
use sallyport_core::{Secret, TokenId};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::exchange::{self, ExchangeError, ExchangeRequest, Place, Shown};
use sallyport_oauth::model::Grant;
use sallyport_oauth::{Params, token_set};

use super::answer::{ApiError, internal, json};
use super::{Holder, refuse_grant, signed};
use crate::app::App;
use crate::context::Context;

pub(super) async fn exchange(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (request, params, holder): (&ExchangeRequest, &Params, &Holder),
) -> Result<Response, ApiError> {
    let refused = |error: ExchangeError| {
        let refusal = (None, error.code(), error.to_string());
        refuse_grant(app, context, client, refusal)
    };
    exchange::check_client(client).map_err(refused)?;
    let subject = shown(app, context, &request.subject).ok_or(ExchangeError::Subject);
    let subject = subject.map_err(refused)?;
    let actor = request.actor.as_ref();
    let actor = actor.map(|token| shown(app, context, token).ok_or(ExchangeError::Actor));
    let actor = actor.transpose().map_err(refused)?;
    let settings = &context.settings;
    let places: Vec<Place<'_>> = settings
        .resources
        .iter()
        .map(|info| Place {
            path: &info.path,
            resource: &info.resource,
            users: &info.users,
        })
        .collect();
    let shown = (&subject, actor.as_ref());
    let decided = exchange::decide(client, (request, params), shown, holder.key(), &places);
    let given = decided.map_err(refused)?;
    let grant = alive(app, context, &subject).await?;
    let grant = grant.ok_or(ExchangeError::Subject).map_err(refused)?;
    let principal = &subject.verified.principal;
    let claims = AccessClaims {
        user: grant.user,
        client: client.client().id.clone(),
        audience: given.resource,
        scopes: given.scopes,
        token: TokenId::generate(app.parts.random.as_ref()),
        key: None,
        actor: Some(given.actor),
        grant: grant.id,
        issued: context.now,
        expires: context
            .now
            .plus(settings.access_ttl)
            .min(principal.expires)
            .min(grant.expires),
    };
    let event = context.event(Action::TokenIssue, Outcome::Ok);
    let why = format!("exchanged for a token of client {}", principal.client);
    let signed = signed::sign(app, context, holder, claims, event.because(why)).await?;
    let kept = app.parts.store.keep_exchanged(
        (&signed.claims.token, &signed.claims.client),
        &principal.token,
        signed.claims.expires,
    );
    kept.await.map_err(internal("remember an exchange"))?;
    signed.used(app, context.now).await?;
    let body = token_set::exchanged(&signed.claims, &signed.access);
    Ok(json(StatusCode::OK, body))
}

/// What a token says that is ours and alive; whoever holds its key, if it is bound to one.
fn shown(app: &App, context: &Context, token: &Secret<String>) -> Option<Shown> {
    let audiences = context.settings.audiences();
    let verified = app
        .parts
        .verify
        .verify_any(token.expose(), &audiences, context.now);
    let actor = exchange::actor_of(token.expose(), &context.settings.issuer)?;
    Some(Shown {
        verified: verified.ok()?,
        actor,
    })
}

/// The grant of the subject, if it is alive in the store too, and its person would be let in now.
async fn alive(app: &App, context: &Context, subject: &Shown) -> Result<Option<Grant>, ApiError> {
    let found = app.parts.store.grant(&subject.verified.principal.grant).await;
    let found = found.map_err(internal("find the grant"))?;
    let barred = &context.settings.people.barred;
    Ok(found.filter(|grant| {
        grant.revoked.is_none() && context.now < grant.expires && !barred.contains(&grant.user)
    }))
}
