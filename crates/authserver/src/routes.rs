//! All routes on one screen.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::{any, get, post};
use sallyport_net::layers::secure;

use crate::app::{App, Parts};
use crate::problem::Problem;
use crate::{
    account, approve, assets, authorize, connect, consent, cors, device, device_authorization, home,
    introspect, login, manage, par, provider, register, revoke, setup, token, wellknown,
};

/// The router of every OAuth endpoint, well-known document and page. Request extensions have to carry
/// `sallyport_net::Peer` and should carry `sallyport_core::RequestId`; hosts and origins are checked before it.
pub fn router(parts: Parts) -> Router {
    let app = Arc::new(App::new(parts));
    Router::new()
        .route(
            "/.well-known/oauth-protected-resource",
            get(wellknown::protected_resource),
        )
        .route(
            "/.well-known/oauth-protected-resource/{*path}",
            get(wellknown::protected_resource_at),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(wellknown::authorization_server),
        )
        .route(
            "/.well-known/oauth-authorization-server/{*path}",
            get(wellknown::authorization_server_at),
        )
        .route("/.well-known/openid-configuration", get(wellknown::openid))
        .route(
            "/.well-known/openid-configuration/{*path}",
            get(wellknown::openid_at),
        )
        .route("/.well-known/jwks.json", get(wellknown::jwks))
        .route("/.well-known/security.txt", get(wellknown::security_txt))
        .route("/.well-known/{*path}", any(wellknown::unknown))
        .route("/register", post(register::post))
        .route(
            "/register/{client_id}",
            get(manage::get).put(manage::put).delete(manage::delete),
        )
        .route("/authorize", get(authorize::get).post(authorize::post))
        .route("/par", post(par::post))
        .route("/token", post(token::post))
        .route("/revoke", post(revoke::post))
        .route("/introspect", post(introspect::post))
        .route("/login", get(login::get).post(login::post))
        .route("/login/{idp}", get(provider::start))
        .route("/callback/{idp}", get(provider::callback))
        .route("/consent", get(consent::get).post(consent::post))
        .route("/setup", get(setup::get).post(setup::post))
        .route("/device_authorization", post(device_authorization::post))
        .route("/device", get(device::get).post(device::post))
        .route("/approve/{id}", get(approve::get).post(approve::post))
        .route("/account", get(account::get).post(account::post))
        .route("/connect", get(connect::all).post(connect::post))
        .route("/connect/{server}", get(connect::one))
        .route("/oauth/callback", get(connect::callback))
        .route("/oauth/client.json", get(connect::client_document))
        .route("/logout", post(home::logout))
        .route("/", get(home::get))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/mark.svg", get(assets::mark))
        .route("/favicon.ico", get(assets::mark))
        .fallback(async || Problem::NotFound)
        .layer(map_response(async |mut response: Response| {
            secure(response.headers_mut());
            response
        }))
        .layer(from_fn(cors::pages))
        .with_state(app)
}
