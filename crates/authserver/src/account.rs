//! `/account`: what a person has let in — apps, tokens, browsers — and the buttons that end each of them.

mod leave;
mod list;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::GrantId;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_oauth::model::Digest;
use serde::{Deserialize, Serialize};

use crate::app::{App, Shared};
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::form::{self, Form, LogoutForm};
use crate::problem::{Problem, internal};
use crate::{body, flow, pages};

/// What one button of the page does.
#[derive(Serialize, Deserialize)]
pub(crate) enum AccountForm {
    /// Ends what was granted to an app, and what is remembered of it.
    EndGrant(GrantId),
    /// Ends the log-in of another browser.
    EndSession(Digest),
    /// Ends every log-in.
    Leave,
}

impl Form for AccountForm {
    const KIND: &'static str = "account";
}

/// `GET /account`.
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let Some(person) = current(&app, &context).await? else {
        return flow::see_other("/login?next=%2Faccount");
    };
    let (apps, sessions) = list::all(&app, &context, &person).await?;
    let seal = |form: &AccountForm| form::seal(app.parts.sealer.as_ref(), &person.secret, form);
    let page = pages::Account {
        user: &person.user.name,
        admin: person.user.admin,
        apps: &apps,
        sessions: &sessions,
        logout: &form::seal(app.parts.sealer.as_ref(), &person.secret, &LogoutForm {}),
        leave: &seal(&AccountForm::Leave),
    };
    Ok(pages::page(StatusCode::OK, &page, None))
}

/// `POST /account`: one of the buttons. What counts is what the page was made for.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    let person = current(&app, &context).await?.ok_or(Problem::ForeignForm)?;
    let field = |name| params.one(name).map_err(|_| Problem::BadForm);
    let sealed = field("transaction")?.unwrap_or_default();
    let form: AccountForm = form::receive(app.parts.sealer.as_ref(), &context, &person.secret, sealed)?;
    match form {
        AccountForm::EndGrant(grant) => end_grant(&app, &context, &person, &grant).await?,
        AccountForm::EndSession(session) => end_session(&app, &context, &person, &session).await?,
        AccountForm::Leave => {
            let apps = match field("apps")? {
                Some("end") => true,
                None => false,
                Some(_) => return Err(Problem::BadForm),
            };
            return leave::everywhere(&app, &context, &person, apps).await;
        }
    }
    flow::see_other("/account")
}

async fn current(app: &App, context: &Context) -> Result<Option<LoggedIn>, Problem> {
    let person = browser::current(app, context).await;
    person.map_err(internal("find the browser session"))
}

/// The app has to ask again, also where the person's yes was remembered.
async fn end_grant(app: &App, context: &Context, person: &LoggedIn, id: &GrantId) -> Result<(), Problem> {
    let store = &app.parts.store;
    let grant = store.grant(id).await.map_err(internal("find the grant"))?;
    // The form was made for this person; a grant that is over since, or swept away, needs nothing.
    let Some(grant) = grant.filter(|grant| grant.user == person.user.id) else {
        return Ok(());
    };
    let event = Event {
        user: Some(person.user.id.clone()),
        client: Some(grant.client.clone()),
        grant: Some(grant.id.clone()),
        ..context.event(Action::Revoke, Outcome::Ok)
    };
    app.record(event.on(grant.resource.as_str()).because("on the account page"))
        .await?;
    let forgotten = store
        .forget_consent(&grant.user, &grant.client, &grant.resource)
        .await;
    forgotten.map_err(internal("forget the consent"))?;
    let revoked = store.revoke_grant(&grant.id, context.now).await;
    revoked.map_err(internal("revoke the grant"))?;
    app.parts.revoke.revoke_grant(&grant.id);
    Ok(())
}

async fn end_session(
    app: &App,
    context: &Context,
    person: &LoggedIn,
    session: &Digest,
) -> Result<(), Problem> {
    let event = Event {
        user: Some(person.user.id.clone()),
        ..context.event(Action::Logout, Outcome::Ok)
    };
    app.record(event.because("another browser's, on the account page"))
        .await?;
    let ended = app.parts.store.delete_browser_session(session).await;
    ended.map_err(internal("end the browser session"))?;
    Ok(())
}
