//! `/connect`: a person's own accounts at the servers behind, and the way there and back. Nothing leaves for another place
//! before the person has said yes to it (2026-07-28, Confused Deputy Problem).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use sallyport_core::account::{AccountId, AccountView, ConnectError, Person, Proposal, ServerAccounts};
use sallyport_core::{ServerName, Timestamp};
use sallyport_oauth::{Params, redirect};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::form_urlencoded::Serializer;

use crate::app::{App, Shared};
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::form::{self, Form};
use crate::pages::{ConnectAccount, ConnectButtons, ConnectServer};
use crate::problem::{Problem, internal};
use crate::{body, flow, pages};

/// How long the page that asks counts.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The name of an account whose owner does not name it.
const DEFAULT_NAME: &str = "default";

/// What one button does.
#[derive(Serialize, Deserialize)]
enum ConnectForm {
    /// Asks about an account of a name that is typed.
    Begin(ServerName),
    /// Asks about an account that is there.
    Again(ServerName, String),
    /// What was asked about.
    Go {
        name: String,
        proposal: Proposal,
        opened: Timestamp,
    },
    /// Calls use this one.
    Choose(ServerName, String),
    /// Forgets it.
    End(ServerName, String),
}

impl Form for ConnectForm {
    const KIND: &'static str = "connect";
}

/// `GET /connect`.
pub(crate) async fn all(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    show(&app, &context, None).await
}

/// `GET /connect/{server}?for=LINK&account=NAME`. It changes nothing.
pub(crate) async fn one(
    State(app): State<Shared>,
    Path(server): Path<String>,
    context: Context,
) -> Result<Response, Problem> {
    let server = ServerName::parse(&server).map_err(|_| Problem::NotFound)?;
    show(&app, &context, Some(&server)).await
}

async fn show(app: &App, context: &Context, only: Option<&ServerName>) -> Result<Response, Problem> {
    let Some(logged_in) = current(app, context).await? else {
        return flow::see_other(&login(context, only));
    };
    let person = person(&logged_in);
    let params = Params::parse(context.query.as_bytes()).map_err(|_| Problem::BadForm)?;
    let one = |name| params.one(name).map_err(|_| Problem::BadForm);
    if let (Some(server), Some(link)) = (only, one("for")?)
        && !app.parts.accounts.is_for(&person, server, link)
    {
        return Err(Problem::OthersLink);
    }
    let mut servers = app.parts.accounts.servers(&person).await?;
    let before = servers.len();
    if let Some(only) = only {
        servers.retain(|server| server.server == *only);
        if servers.is_empty() {
            return Err(ConnectError::NoSuchServer.into());
        }
    }
    let is_part = servers.len() < before;
    let servers: Vec<ConnectServer> = servers
        .into_iter()
        .map(|server| shown(app, &logged_in, server))
        .collect();
    let page = pages::Connect {
        user: &logged_in.user.name,
        servers: &servers,
        name: one("account")?.unwrap_or(DEFAULT_NAME),
        is_part,
    };
    Ok(pages::page(StatusCode::OK, &page, None))
}

fn shown(app: &App, person: &LoggedIn, at: ServerAccounts) -> ConnectServer {
    let seal = |form: &ConnectForm| form::seal(app.parts.sealer.as_ref(), &person.secret, form);
    let server = &at.server;
    let account = |account: AccountView| {
        let id = account.id.as_str().to_owned();
        let buttons = at.may_connect.then(|| ConnectButtons {
            again: seal(&ConnectForm::Again(server.clone(), account.name.clone())),
            choose: seal(&ConnectForm::Choose(server.clone(), id.clone())),
            end: seal(&ConnectForm::End(server.clone(), id)),
        });
        ConnectAccount {
            name: account.name,
            issuer: account.issuer,
            scopes: account.scopes.join(" "),
            problem: account.problem,
            in_use: account.in_use,
            buttons,
        }
    };
    ConnectServer {
        name: server.to_string(),
        url: at.url,
        shared: at.shared,
        connect: at.may_connect.then(|| seal(&ConnectForm::Begin(server.clone()))),
        accounts: at.accounts.into_iter().map(account).collect(),
    }
}

/// `POST /connect`: one of the buttons. What counts is what the page was made for.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    let logged_in = current(&app, &context).await?.ok_or(Problem::ForeignForm)?;
    let field = |name| params.one(name).map_err(|_| Problem::BadForm);
    let sealed = field("transaction")?.unwrap_or_default();
    let form: ConnectForm = form::receive(app.parts.sealer.as_ref(), &context, &logged_in.secret, sealed)?;
    let (who, accounts) = (person(&logged_in), &app.parts.accounts);
    let server = match form {
        ConnectForm::Begin(server) => {
            let name = field("account")?.map_or(DEFAULT_NAME, str::trim);
            return confirm(&app, &context, &logged_in, (server, name.to_owned())).await;
        }
        ConnectForm::Again(server, name) => {
            return confirm(&app, &context, &logged_in, (server, name)).await;
        }
        ConnectForm::Go { opened, .. } if context.now.since(opened) > MAX_AGE => {
            return Err(Problem::StaleForm);
        }
        ConnectForm::Go { name, proposal, .. } => match field("decision")? {
            Some("allow") => {
                let place = (&proposal.server, name.as_str());
                let url = accounts.depart(&who, place, &proposal, &logged_in.secret).await?;
                return flow::see_other(url.as_str());
            }
            Some("deny") => proposal.server,
            _ => return Err(Problem::BadForm),
        },
        ConnectForm::Choose(server, id) => {
            accounts.choose(&who, &AccountId::new(id)).await?;
            server
        }
        ConnectForm::End(server, id) => {
            accounts.disconnect(&who, &AccountId::new(id)).await?;
            server
        }
    };
    flow::see_other(&format!("/connect/{server}"))
}

/// The page that asks. Nothing is kept for it.
async fn confirm(
    app: &App,
    context: &Context,
    logged_in: &LoggedIn,
    (server, name): (ServerName, String),
) -> Result<Response, Problem> {
    let proposal = app
        .parts
        .accounts
        .propose(&person(logged_in), &server, &name)
        .await?;
    let leads_to = redirect::csp_source(proposal.leads_to.as_str());
    let form = ConnectForm::Go {
        name: name.clone(),
        proposal: proposal.clone(),
        opened: context.now,
    };
    let page = pages::ConnectConfirm {
        server: server.as_str(),
        url: &proposal.url,
        name: &name,
        user: &logged_in.user.name,
        destination: &redirect::destination(proposal.leads_to.as_str()),
        issuer: &proposal.issuer,
        scopes: &proposal.scopes,
        moved_from: proposal.moved_from.as_deref(),
        transaction: &form::seal(app.parts.sealer.as_ref(), &logged_in.secret, &form),
    };
    Ok(pages::page(StatusCode::OK, &page, leads_to.as_deref()))
}

/// `GET /oauth/callback`: the browser comes back from a server's authorization server.
pub(crate) async fn callback(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let logged_in = current(&app, &context).await?;
    let logged_in = logged_in.ok_or(Problem::Connect(ConnectError::Foreign))?;
    let accounts = &app.parts.accounts;
    let arrived = accounts
        .arrive(&person(&logged_in), &logged_in.secret, &context.query)
        .await;
    let (server, _) = arrived.inspect_err(|error| {
        tracing::info!(%error, "a log-in at a server came to nothing");
        app.count("account");
    })?;
    flow::see_other(&format!("/connect/{server}"))
}

/// `GET /oauth/client.json`: who we are to authorization servers (Client ID Metadata Document).
pub(crate) async fn client_document(State(app): State<Shared>) -> Result<Response, Problem> {
    let document = app.parts.accounts.client_document().ok_or(Problem::NotFound)?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    Ok((headers, document).into_response())
}

async fn current(app: &App, context: &Context) -> Result<Option<LoggedIn>, Problem> {
    let person = browser::current(app, context).await;
    person.map_err(internal("find the browser session"))
}

fn person(logged_in: &LoggedIn) -> Person {
    Person {
        user: logged_in.user.id.clone(),
        admin: logged_in.user.admin,
    }
}

/// Back to the same page after a log-in here.
fn login(context: &Context, only: Option<&ServerName>) -> String {
    let mut next = only.map_or_else(|| "/connect".to_owned(), |server| format!("/connect/{server}"));
    if !context.query.is_empty() {
        next.push('?');
        next.push_str(&context.query);
    }
    let query = Serializer::new(String::new()).append_pair("next", &next).finish();
    format!("/login?{query}")
}
