//! An identity provider that the operator trusts vouches for a person, and the client gets a token (RFC 7523 §2.1). There is no
//! refresh token: the client asks the provider again, which so keeps the last word.

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, AuditUnavailable, Outcome};
use sallyport_core::{ClientId, GrantId, Secret};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::id_jag::{self, IdJag, IdJagError, Vouched};
use sallyport_oauth::model::{Grant, User};
use sallyport_oauth::provider::oidc;
use sallyport_oauth::{ErrorCode, Params};

use super::answer::{ApiError, internal};
use super::{Holder, refuse_grant, signed};
use crate::app::App;
use crate::context::Context;
use crate::credentials::Kind;
use crate::people::Provider;
use crate::problem::Problem;
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
    let voucher = context.settings.people.voucher(assertion.issuer());
    let voucher = voucher.ok_or(IdJagError::Issuer).map_err(refused)?;
    let vouched = verified(app, context, client, (&assertion, voucher))
        .await?
        .map_err(refused)?;
    let scope = params
        .one("scope")
        .map_err(|error| ApiError::invalid_request(error.to_string()))?;
    let targets = context.settings.targets();
    let (resource, scopes) = vouched
        .decide(client, scope, params.all("resource"), &targets)
        .map_err(refused)?;
    let user = person(app, context, (&vouched, voucher))
        .await?
        .map_err(refused)?;
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
    let event = context.event(Action::TokenIssue, Outcome::Ok);
    let why = format!("vouched for by {}", vouched.issuer);
    let claims = signed::claims(app, context, &grant);
    let signed = signed::sign(app, context, holder, claims, event.because(why)).await?;
    let kept = parts.store.insert_grant(&grant).await;
    kept.map_err(internal("keep the grant"))?;
    signed.alone(app, now).await
}

async fn verified(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (assertion, voucher): (&IdJag, &oidc::Provider),
) -> Result<Result<Vouched, IdJagError>, ApiError> {
    let keys = provider::keys_for(app, context, voucher, |keys| assertion.is_signed_by(keys)).await;
    let keys = keys
        .ok_or_else(|| ApiError::unavailable("the identity provider cannot be asked for its keys now", 30))?;
    let expected = (&client.client().id, context.settings.issuer.as_str());
    Ok(assertion.verify(&keys, expected, context.now))
}

/// The person, if they would be let in now. Somebody who comes for the first time is made as a log-in through the provider
/// would make them. What an assertion says of somebody who is known changes nothing: it may say less than a log-in.
async fn person(
    app: &App,
    context: &Context,
    (vouched, voucher): (&Vouched, &oidc::Provider),
) -> Result<Result<User, IdJagError>, ApiError> {
    let identity = match vouched.identity(voucher) {
        Ok(identity) => identity,
        Err(error) => return Ok(Err(error)),
    };
    let found = app.parts.store.user_of(&identity.issuer, &identity.subject).await;
    if let Some(user) = found.map_err(internal("find the person"))? {
        let is_barred = context.settings.people.barred.contains(&user.id);
        return Ok((!is_barred).then_some(user).ok_or(IdJagError::Person));
    }
    match provider::settled(app, context, (Provider::Oidc(voucher), &identity)).await {
        Ok(user) => Ok(Ok(user)),
        Err(Problem::Unlisted { .. }) => Ok(Err(IdJagError::Person)),
        Err(Problem::NoAudit) => Err(AuditUnavailable.into()),
        Err(_) => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::ServerError,
            "the gateway failed; see its log",
        )),
    }
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
