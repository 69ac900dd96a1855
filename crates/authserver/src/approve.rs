//! `/approve/{id}`: where a person sees a call that waits, to the last argument, and says yes or no to it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_oauth::display;
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;

use crate::app::{App, Shared};
use crate::approvals::Waiting;
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::form::{self, Form};
use crate::problem::{Problem, internal};
use crate::{body, clients, flow, pages};

/// What the page carries: which call it was made for.
#[derive(Serialize, Deserialize)]
pub(crate) struct ApproveForm {
    id: String,
}

impl Form for ApproveForm {
    const KIND: &'static str = "approve";
}

/// `GET /approve/{id}`. A call of somebody else is none.
pub(crate) async fn get(
    State(app): State<Shared>,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Problem> {
    let Some(person) = current(&app, &context).await? else {
        let next = Serializer::new(String::new())
            .append_pair("next", &format!("/approve/{id}"))
            .finish();
        return flow::see_other(&format!("/login?{next}"));
    };
    let waiting = app.parts.approvals.find(&id, &person.user.id, context.now);
    let waiting = waiting.ok_or(Problem::NotFound)?;
    let client = clients::find(&app, &context, &waiting.client).await?;
    let name = client.as_ref().and_then(display::client_name);
    let page = pages::Approve {
        client: name.as_deref().unwrap_or_else(|| waiting.client.as_str()),
        tool: &waiting.tool,
        server: waiting.server.as_str(),
        endpoint: &waiting.endpoint,
        arguments: &shown(&waiting.arguments),
        user: &person.user.name,
        transaction: &form::seal(app.parts.sealer.as_ref(), &person.secret, &ApproveForm { id }),
    };
    Ok(pages::page(StatusCode::OK, &page, None))
}

/// `POST /approve/{id}`: the answer. What counts is what the page was made for.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    let field = |name| params.one(name).ok().flatten();
    let allowed = match field("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(Problem::BadForm),
    };
    let person = current(&app, &context).await?.ok_or(Problem::ForeignForm)?;
    let sealed = field("transaction").unwrap_or_default();
    let form: ApproveForm = form::receive(app.parts.sealer.as_ref(), &context, &person.secret, sealed)?;
    let user = &person.user.id;
    let waiting = app.parts.approvals.find(&form.id, user, context.now);
    let waiting = waiting.ok_or(Problem::Answered)?;
    record(&app, &context, &waiting, allowed).await?;
    if !app.parts.approvals.answer(&form.id, user, allowed, context.now) {
        return Err(Problem::Answered);
    }
    Ok(pages::page(StatusCode::OK, &pages::ApproveDone { allowed }, None))
}

/// The record comes first: a call that matters is not let through on a word that nobody can find.
async fn record(app: &App, context: &Context, waiting: &Waiting, allowed: bool) -> Result<(), Problem> {
    let outcome = if allowed { Outcome::Ok } else { Outcome::Denied };
    let event = Event {
        user: Some(waiting.user.clone()),
        client: Some(waiting.client.clone()),
        server: Some(waiting.server.clone()),
        ..context.event(Action::CallApprove, outcome)
    };
    let what = format!("{} at {}", waiting.tool, waiting.endpoint);
    Ok(app.record(event.on(&what)).await?)
}

async fn current(app: &App, context: &Context) -> Result<Option<LoggedIn>, Problem> {
    let person = browser::current(app, context).await;
    person.map_err(internal("find the browser session"))
}

/// The arguments as a person reads them: all that is sent and as it is sent, a line for each member. They are not read and
/// written anew, which would leave out a member that stands there twice, and round long numbers: the person would say yes to
/// something else than the server gets.
fn shown(arguments: &[u8]) -> String {
    let text = String::from_utf8_lossy(arguments);
    let (mut out, mut depth) = (String::new(), 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            visible(c, &mut out);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                depth += 1;
                out.push(c);
                new_line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' | '\t' | '\n' | '\r' => {}
            _ => {
                in_string = c == '"';
                visible(c, &mut out);
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// Nothing hides, or turns text around.
fn visible(c: char, out: &mut String) {
    if c == ' ' || c.is_alphanumeric() || c.is_ascii_graphic() {
        out.push(c);
    } else {
        out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_is_shown_and_nothing_hides() {
        let text = shown("{\"path\":\"/é\u{202e}txt.\",\"all\":true}".as_bytes());
        assert_eq!(text, "{\n  \"path\": \"/é\\u{202e}txt.\",\n  \"all\": true\n}");
        assert_eq!(shown(b""), "");
    }

    #[test]
    fn what_is_shown_is_what_is_sent() {
        for (sent, expected) in [
            (r#"{"a":"x","a":"y"}"#, "{\n  \"a\": \"x\",\n  \"a\": \"y\"\n}"),
            (
                "{\"n\" : 12345678901234567890123.10}",
                "{\n  \"n\": 12345678901234567890123.10\n}",
            ),
            (
                r#"{"s":"a\"},{\\","t":[1,{"b":null}]}"#,
                "{\n  \"s\": \"a\\\"},{\\\\\",\n  \"t\": [\n    1,\n    {\n      \"b\": null\n    }\n  ]\n}",
            ),
            (r#""\u202e""#, r#""\u202e""#),
        ] {
            assert_eq!(shown(sent.as_bytes()), expected, "{sent}");
        }
    }
}
