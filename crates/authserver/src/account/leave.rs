//! Log out everywhere.

use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};

use crate::app::App;
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::cookie::Cookie;
use crate::flow;
use crate::problem::{Problem, internal};

/// Ends every browser session of the person, and with `apps` also every grant and token.
pub(super) async fn everywhere(
    app: &App,
    context: &Context,
    person: &LoggedIn,
    apps: bool,
) -> Result<Response, Problem> {
    let store = &app.parts.store;
    let event = Event {
        user: Some(person.user.id.clone()),
        ..context.event(Action::Logout, Outcome::Ok)
    };
    let reason = if apps {
        "everywhere, apps too"
    } else {
        "everywhere"
    };
    app.record(event.because(reason)).await?;
    if apps {
        let revoked = store.revoke_grants_of(&person.user.id, context.now).await;
        for grant in revoked.map_err(internal("revoke the grants"))? {
            app.parts.revoke.revoke_grant(&grant);
        }
    }
    let ended = store.delete_browser_sessions_of(&person.user.id).await;
    ended.map_err(internal("end the browser sessions"))?;
    let mut response = flow::see_other("/")?;
    browser::set_cookie(&mut response, context, Cookie::Session, None);
    Ok(response)
}
