//! Browser sessions: who is logged in.

use sallyport_core::random::token;
use sallyport_core::{Secret, Timestamp};
use sallyport_oauth::model::{BrowserSession, User};
use sallyport_store::StoreError;
use std::time::Duration;

use crate::app::App;
use crate::context::Context;
use crate::cookie::Cookie;
use crate::credentials::Kind;
use axum::http::header::SET_COOKIE;
use axum::response::Response;

/// Somebody who is logged in.
pub(crate) struct LoggedIn {
    pub(crate) user: User,
    /// When they logged in.
    pub(crate) since: Timestamp,
    /// The secret of the cookie, which forms are bound to.
    pub(crate) secret: String,
}

/// Who is logged in, if anybody is. An ended session is nobody's, whatever the cookie says (LG-05).
pub(crate) async fn current(app: &App, context: &Context) -> Result<Option<LoggedIn>, StoreError> {
    const MINUTE: Duration = Duration::from_secs(60);
    let Some(secret) = context.session.clone() else {
        return Ok(None);
    };
    let digest = app.parts.digest(Kind::Session, secret.as_bytes());
    let Some((session, user)) = app.parts.store.browser_session(&digest).await? else {
        return Ok(None);
    };
    let unseen = context.now.since(session.seen);
    let barred = context.settings.people.barred.contains(&user.id);
    if barred || context.now >= session.expires || unseen > context.settings.browser_idle {
        app.parts.store.delete_browser_session(&digest).await?;
        return Ok(None);
    }
    if unseen >= MINUTE {
        app.parts
            .store
            .touch_browser_session(&digest, context.now)
            .await?;
    }
    Ok(Some(LoggedIn {
        user,
        since: session.created,
        secret,
    }))
}

/// Begins a session with a new secret, so that one that was known before means nothing (session fixation), and ends the
/// browser's old one.
pub(crate) async fn begin(app: &App, context: &Context, user: &User) -> Result<Secret<String>, StoreError> {
    let (secret, digest) = app.parts.new_secret(Kind::Session);
    let session = BrowserSession {
        digest,
        user: user.id.clone(),
        created: context.now,
        seen: context.now,
        expires: context.now.plus(context.settings.browser_absolute),
    };
    app.parts.store.insert_browser_session(&session).await?;
    end(app, context).await?;
    Ok(secret)
}

/// Ends the session of the request, if it has one.
pub(crate) async fn end(app: &App, context: &Context) -> Result<(), StoreError> {
    if let Some(old) = &context.session {
        app.parts
            .store
            .delete_browser_session(&app.parts.digest(Kind::Session, old.as_bytes()))
            .await?;
    }
    Ok(())
}

/// The secret that forms before a log-in are bound to: the one the browser has, so that two tabs do not disturb each
/// other, or a new one.
pub(crate) fn form_binding(app: &App, context: &Context) -> (String, Option<String>) {
    match &context.browser {
        Some(known) => (known.clone(), None),
        None => {
            let fresh = token::<32>(app.parts.random.as_ref());
            (fresh.clone(), Some(fresh))
        }
    }
}

/// Adds a cookie to an answer.
pub(crate) fn set_cookie(response: &mut Response, context: &Context, cookie: Cookie, value: Option<&str>) {
    let header = match value {
        Some(value) => cookie.set(value, context.https()),
        None => cookie.clear(context.https()),
    };
    if let Some(header) = header {
        response.headers_mut().append(SET_COOKIE, header);
    }
}
