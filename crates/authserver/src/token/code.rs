//! A code becomes tokens (OAuth 2.1 §4.1.3).

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Outcome};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::flight::{Rule, Step};
use sallyport_oauth::model::{Grant, RefreshToken, TakenCode};
use sallyport_oauth::redeem::redeem;
use sallyport_oauth::token_request::CodeRequest;
use sallyport_oauth::{ErrorCode, Params, registration, token_set};

use super::answer::{ApiError, internal, json};
use super::{Holder, end_grant, refuse_grant, refused, signed};
use crate::app::App;
use crate::context::Context;
use crate::credentials::Kind;

pub(super) async fn exchange(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (request, params, holder): (&CodeRequest, &Params, &Holder),
) -> Result<Response, ApiError> {
    let digest = app.parts.digest(Kind::Code, request.code.expose().as_bytes());
    let invalid = "the code is not valid".to_owned();
    match app
        .parts
        .store
        .take_code(&digest)
        .await
        .map_err(internal("take the code"))?
    {
        TakenCode::Unknown => {
            refused(context, client, None, Rule::CodeUnknown);
            let refusal = (None, ErrorCode::InvalidGrant, invalid);
            Err(refuse_grant(app, context, client, refusal))
        }
        TakenCode::Replayed(grant) => {
            refused(context, client, Some(&grant), Rule::CodeReplayed);
            end_grant(app, context, grant, &client.client().id).await?;
            Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidGrant,
                invalid,
            ))
        }
        TakenCode::Fresh(code, grant) => {
            let key = holder.key();
            if let Err(error) = redeem((&code, &grant), client, request, params, key, context.now) {
                refused(context, client, Some(&grant.id), error);
                // The code is used up, so nothing can come of the grant any more.
                let ended = app.parts.store.revoke_grant(&grant.id, context.now).await;
                ended.map_err(internal("end the grant"))?;
                let refusal = (Some(grant.id), error.code(), error.to_string());
                return Err(refuse_grant(app, context, client, refusal));
            }
            issue(app, context, client, (&grant, holder)).await
        }
    }
}

pub(super) async fn issue(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (grant, holder): (&Grant, &Holder),
) -> Result<Response, ApiError> {
    let (settings, parts, now) = (&context.settings, &app.parts, context.now);
    let claims = signed::claims(app, context, grant);
    let event = context.event(Action::TokenIssue, Outcome::Ok);
    let signed = signed::sign(app, context, holder, claims, event).await?;
    let refresh =
        registration::allows_grant(client.client(), "refresh_token").then(|| parts.new_secret(Kind::Refresh));
    if let Some((_, digest)) = &refresh {
        let expires = now.plus(settings.refresh_ttl).min(grant.expires);
        let first = RefreshToken {
            digest: *digest,
            grant: grant.id.clone(),
            key: holder.key_of_refresh(client),
            issued: now,
            expires,
        };
        parts
            .store
            .begin_refresh_family(&first)
            .await
            .map_err(internal("keep the refresh token"))?;
    }
    signed.used(app, now).await?;
    context.saw(|keys| {
        let renewable = refresh.is_some();
        let keys = keys.named(client.client()).grant(&grant.id);
        (keys, Step::Issued { renewable })
    });
    let body = token_set::body(
        &signed.claims,
        &signed.access,
        refresh.as_ref().map(|(secret, _)| secret),
    );
    Ok(json(StatusCode::OK, body))
}
