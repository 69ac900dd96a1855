//! An identity provider that the operator trusts vouches for a person, and the client gets a token (RFC 7523 §2.1). There is no
//! refresh token: the client asks the provider again, which so keeps the last word.

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{ClientId, GrantId, Secret, TokenId};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::id_jag::{self, IdJag, IdJagError, Vouched};
use sallyport_oauth::model::{Grant, User};
use sallyport_oauth::{ErrorCode, Params, token_set};

use super::answer::{ApiError, internal, json, unsigned};
use super::{Holder, refuse_grant};
use crate::app::App;
use crate::context::Context;
use crate::credentials::Kind;
use crate::provider;

pub(super) async fn exchange(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (assertion, params, holder): (&Secret<String>, &Params, &Holder),
) -> Result<Response, ApiError> {
    let refused = |error: IdJagError| {
        let refusal = (None, error.code(), error.to_string());
        refuse_grant(app, context, client, refusal)
    };
    if !context.settings.people.has_vouchers() {
        let text = "no identity provider is trusted for this grant type";
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::UnsupportedGrantType,
            text,
        ));
    }
    id_jag::check_client(client.client()).map_err(refused)?;
    let assertion = IdJag::read(assertion.expose()).map_err(refused)?;
    let vouched = verified(app, context, client, &assertion)
        .await?
        .map_err(refused)?;
    let scope = params
        .one("scope")
        .map_err(|error| ApiError::invalid_request(error.to_string()))?;
    let targets = context.settings.targets();
    let (resource, scopes) = vouched
        .decide(client, scope, params.all("resource"), &targets)
        .map_err(refused)?;
    let user = person(app, context, &vouched).await?.map_err(refused)?;
    // Last of all: what is refused for another reason may be mended and shown again.
    use_up(app, &vouched).await?.map_err(refused)?;
    let (settings, parts, now) = (&context.settings, &app.parts, context.now);
    let grant = Grant {
        id: GrantId::generate(parts.random.as_ref()),
        user: user.id,
        client: client.client().id.clone(),
        resource,
        scopes,
        created: now,
        expires: now.plus(settings.access_ttl),
        revoked: None,
    };
    let token = TokenId::generate(parts.random.as_ref());
    let claims = token_set::access_claims(&grant, grant.scopes.clone(), token, now, settings.access_ttl);
    let claims = holder.bind(app, context, claims)?;
    let access = parts.signer.sign(&claims).map_err(unsigned)?;
    let event = Event {
        user: Some(grant.user.clone()),
        client: Some(grant.client.clone()),
        grant: Some(grant.id.clone()),
        ..context.event(Action::TokenIssue, Outcome::Ok)
    };
    let why = format!("vouched for by {}", vouched.issuer);
    app.record(event.on(grant.resource.as_str()).because(why)).await?;
    parts
        .store
        .insert_grant(&grant)
        .await
        .map_err(internal("keep the grant"))?;
    parts
        .store
        .touch_client(&grant.client, now)
        .await
        .map_err(internal("mark the client as used"))?;
    Ok(json(StatusCode::OK, token_set::body(&claims, &access, None)))
}

async fn verified(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    assertion: &IdJag,
) -> Result<Result<Vouched, IdJagError>, ApiError> {
    let Some(voucher) = context.settings.people.voucher(assertion.issuer()) else {
        return Ok(Err(IdJagError::Issuer));
    };
    let keys = provider::keys_for(app, context, voucher, |keys| assertion.is_signed_by(keys)).await;
    let keys = keys
        .ok_or_else(|| ApiError::unavailable("the identity provider cannot be asked for its keys now", 30))?;
    let expected = (&client.client().id, context.settings.issuer.as_str());
    Ok(assertion.verify(&keys, expected, context.now))
}

/// The person, if they have come in through the provider before and would be let in now.
async fn person(
    app: &App,
    context: &Context,
    vouched: &Vouched,
) -> Result<Result<User, IdJagError>, ApiError> {
    let found = app.parts.store.user_of(&vouched.issuer, &vouched.subject).await;
    let found = found.map_err(internal("find the person"))?;
    let barred = &context.settings.people.barred;
    Ok(found
        .filter(|user| !barred.contains(&user.id))
        .ok_or(IdJagError::Person))
}

/// An assertion counts once, in whatever process it is shown.
async fn use_up(app: &App, vouched: &Vouched) -> Result<Result<(), IdJagError>, ApiError> {
    // No client has such an id.
    let issuer = ClientId::new(format!("provider {}", vouched.issuer));
    let digest = app.parts.digest(Kind::Assertion, vouched.id.as_bytes());
    let first = app
        .parts
        .store
        .use_assertion(&issuer, &digest, vouched.until)
        .await;
    let first = first.map_err(internal("remember the assertion"))?;
    Ok(first.then_some(()).ok_or(IdJagError::Replayed))
}
