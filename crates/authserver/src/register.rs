//! `/register`: dynamic client registration (RFC 7591).

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{ClientId, ScopeSet};
use sallyport_oauth::flight::{Point, Refused, Rule, Step, step};
use sallyport_oauth::registration::{self, MAX_BYTES, Policy, Registration};
use sallyport_oauth::{ErrorCode, display};
use sallyport_store::{Maker, Reaping};

use crate::app::{App, Shared};
use crate::body;
use crate::context::Context;
use crate::credentials::Kind;
use crate::settings::Settings;
use crate::token::{ApiError, internal, json};

/// `POST /register`.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, ApiError> {
    let settings = &context.settings;
    if !settings.dynamic_registration {
        refused(&context, Rule::RegistrationClosed);
        let text = "clients cannot register themselves here; ask the operator";
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            ErrorCode::AccessDenied,
            text,
        ));
    }
    if let Err(wait) = app.limits.registration(context.peer, context.now) {
        app.count("registration_throttled");
        refused(&context, Rule::RegistrationThrottled);
        return Err(ApiError::too_many(wait));
    }
    let bytes = body::bytes(request, MAX_BYTES).await.ok_or_else(too_long)?;
    let scopes = Settings::scopes();
    let accepted = Registration::read(&bytes, policy(&context, &scopes)).map_err(|error| {
        tracing::info!(error = error.code().as_str(), "registration refused");
        refused(&context, &error);
        ApiError::new(
            StatusCode::BAD_REQUEST,
            error.code(),
            Cow::Owned(error.to_string()),
        )
    })?;
    make_room(&app, &context).await?;
    let secret = accepted
        .needs_secret()
        .then(|| app.parts.new_secret(Kind::ClientSecret));
    let id = ClientId::generate(app.parts.random.as_ref());
    let client = accepted.into_client(id, secret.as_ref().map(|(_, digest)| *digest), context.now);
    let event = Event {
        client: Some(client.id.clone()),
        ..context.event(Action::ClientRegister, Outcome::Ok)
    };
    app.record(event.on(&display::client_name(&client).unwrap_or_default()))
        .await?;
    let (token, kept) = app.parts.registration_token(&context);
    app.parts
        .store
        .register_client(&client, Maker::Client, Some(&kept))
        .await
        .map_err(internal("keep the client"))?;
    context.saw(|keys| {
        let step = Step::Registered {
            redirects: step::places(&client.redirect_uris),
            method: client.auth_method,
        };
        (keys.named(&client), step)
    });
    let uri = registration_uri(&context, &client.id);
    let secret = secret.as_ref().map(|(secret, _)| secret);
    let answer = registration::answer(&client, secret, Some((&uri, &token)));
    Ok(json(
        StatusCode::CREATED,
        serde_json::Value::Object(answer).to_string(),
    ))
}

fn refused(context: &Context, rule: impl Into<Rule>) {
    context.saw(|keys| (keys, Refused::at(Point::Registration, rule).into()));
}

/// What the operator allows.
pub(crate) fn policy<'a>(context: &'a Context, scopes: &'a ScopeSet) -> Policy<'a> {
    Policy {
        private_schemes: &context.settings.private_schemes,
        scopes,
        is_operator: false,
    }
}

/// Where a client manages its registration (RFC 7592 §3).
pub(crate) fn registration_uri(context: &Context, id: &ClientId) -> String {
    format!("{}/register/{id}", context.settings.issuer)
}

pub(crate) fn too_long() -> ApiError {
    let text = "the registration is longer than 32 KiB";
    ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidClientMetadata, text)
}

/// Forgets clients that are of no use, now and then and when there are too many; what is left is bounded (DC-01).
async fn make_room(app: &App, context: &Context) -> Result<(), ApiError> {
    let settings = &context.settings;
    let count = app
        .parts
        .store
        .count_clients()
        .await
        .map_err(internal("count the clients"))?;
    let full = count >= settings.max_clients;
    if full || app.reaping_is_due(context.now) {
        // Where there is no room, an hour has to be enough for a person to log in.
        let age = if full {
            settings.unused_client_ttl / 24
        } else {
            settings.unused_client_ttl
        };
        let now = context.now;
        let limits = Reaping {
            now,
            unused: now.minus(age),
            alike: now.minus(settings.unused_client_ttl / 24),
            idle: settings.client_lifetime.map(|lifetime| now.minus(lifetime)),
        };
        let gone = app.parts.store.reap_clients(limits).await;
        let gone = gone.map_err(internal("forget unused clients"))?;
        if full && gone == 0 {
            tracing::warn!(count, "registration refused: there are too many clients");
            refused(context, Rule::RegistrationThrottled);
            return Err(ApiError::unavailable(
                "there are too many registered clients",
                600,
            ));
        }
    }
    Ok(())
}
