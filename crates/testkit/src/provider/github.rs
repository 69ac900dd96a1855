//! GitHub, of an enterprise by its paths: the pages and answers of an OAuth app's web flow, and as much of the REST API as
//! says who somebody is. Errors of the token endpoint have status 200.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use serde_json::{Value, json as object};
use url::form_urlencoded::Serializer;

use super::{Asked, Fields, Provider, Response, back, json, lock, page, reply, start};
use crate::http::{Answer, Request};
use crate::oauth::challenge;

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The number that never changes.
    pub id: u64,
    /// The name that may.
    pub login: String,
    /// The organisations.
    pub organisations: Vec<String>,
    /// The teams, each with its organisation.
    pub teams: Vec<(String, String)>,
}

/// A stand-in for GitHub.
pub struct Github {
    /// Everybody with an account.
    pub accounts: Mutex<Vec<Account>>,
    /// Whether the token endpoint answers with forms, as older versions do whatever is asked for.
    pub forms: Mutex<bool>,
    codes: Mutex<HashMap<String, Issued>>,
    tokens: Mutex<HashMap<String, (u64, String)>>,
    count: AtomicUsize,
}

#[derive(Clone)]
struct Issued {
    account: u64,
    request: Fields,
}

impl Github {
    /// The id of the OAuth app.
    pub const CLIENT_ID: &'static str = "Iv1.8a61f9b3a7aba766";
    /// Its secret.
    pub const CLIENT_SECRET: &'static str = "0123456789abcdef0123456789abcdef01234567";

    /// Starts it with these people: number and login.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(people: &[(u64, &str)]) -> anyhow::Result<Provider<Self>> {
        let accounts = people.iter().map(|(id, login)| Account {
            id: *id,
            login: (*login).to_owned(),
            organisations: Vec::new(),
            teams: Vec::new(),
        });
        let accounts = accounts.collect();
        start(
            |_: SocketAddr| Self {
                accounts: Mutex::new(accounts),
                forms: Mutex::new(false),
                codes: Mutex::default(),
                tokens: Mutex::default(),
                count: AtomicUsize::new(1),
            },
            Self::answer,
        )
        .await
    }

    /// Changes somebody's account.
    pub fn change(&self, id: u64, change: impl FnOnce(&mut Account)) {
        if let Some(account) = lock(&self.accounts).iter_mut().find(|account| account.id == id) {
            change(account);
        }
    }

    fn answer(&self, asked: &Asked) -> Response {
        match (&asked.method, asked.path.as_str()) {
            (&Method::GET, "/login/oauth/authorize") => self.ask(&asked.query),
            (&Method::POST, "/login/oauth/authorize") => self.decide(&asked.form),
            (&Method::POST, "/login/oauth/access_token") => self.exchange(asked),
            (&Method::GET, path) if path.starts_with("/api/v3/") => self.api(asked),
            _ => page(StatusCode::NOT_FOUND, "Not Found", ""),
        }
    }

    /// The page on which a person signs in and says yes or no.
    fn ask(&self, query: &Fields) -> Response {
        if query.get("client_id") != Self::CLIENT_ID {
            return page(StatusCode::NOT_FOUND, "Page not found", "");
        }
        let names = [
            "redirect_uri",
            "state",
            "scope",
            "code_challenge",
            "code_challenge_method",
        ];
        let hidden = names.map(|name| {
            let value = query.get(name).replace('&', "&amp;").replace('"', "&quot;");
            format!("<input type=hidden name={name} value=\"{value}\">")
        });
        let people = lock(&self.accounts);
        let buttons = people.iter().map(|account| {
            let login = &account.login;
            format!("<button name=login value=\"{login}\">Authorize as {login}</button>")
        });
        let form = format!(
            "<form method=post action=/login/oauth/authorize>{}{}<button name=cancel value=1>Cancel</button></form>",
            hidden.concat(),
            buttons.collect::<String>()
        );
        page(StatusCode::OK, "Authorize Sallyport", &form)
    }

    fn decide(&self, form: &Fields) -> Response {
        let (redirect, state) = (form.get("redirect_uri"), form.get("state"));
        let account = lock(&self.accounts)
            .iter()
            .find(|account| account.login == form.get("login"))
            .cloned();
        let Some(account) = account.filter(|_| form.get("cancel").is_empty()) else {
            let denied = [
                ("error", "access_denied"),
                (
                    "error_description",
                    "The user has denied your application access.",
                ),
                ("state", state),
            ];
            return back(redirect, &denied);
        };
        let code = format!("{:020x}", self.next());
        let issued = Issued {
            account: account.id,
            request: form.clone(),
        };
        lock(&self.codes).insert(code.clone(), issued);
        back(redirect, &[("code", &code), ("state", state)])
    }

    fn exchange(&self, asked: &Asked) -> Response {
        let form = &asked.form;
        let known =
            form.get("client_id") == Self::CLIENT_ID && form.get("client_secret") == Self::CLIENT_SECRET;
        let issued = lock(&self.codes).remove(form.get("code"));
        let answer = match issued {
            _ if !known => error("incorrect_client_credentials"),
            None => error("bad_verification_code"),
            Some(issued) if issued.request.get("redirect_uri") != form.get("redirect_uri") => {
                error("redirect_uri_mismatch")
            }
            Some(issued) if !issued.is_proved_by(form.get("code_verifier")) => error("bad_verification_code"),
            Some(issued) => {
                let (token, scope) = (format!("gho_{:036x}", self.next()), issued.request.get("scope"));
                lock(&self.tokens).insert(token.clone(), (issued.account, scope.to_owned()));
                object!({ "access_token": token, "token_type": "bearer", "scope": scope })
            }
        };
        if !*lock(&self.forms) && asked.header("accept").contains("json") {
            return json(StatusCode::OK, &answer);
        }
        let mut form = Serializer::new(String::new());
        for (name, value) in answer.as_object().into_iter().flatten() {
            form.append_pair(name, value.as_str().unwrap_or_default());
        }
        let media_type = "application/x-www-form-urlencoded; charset=utf-8";
        reply(StatusCode::OK, media_type, form.finish())
    }

    fn api(&self, asked: &Asked) -> Response {
        if asked.header("user-agent").is_empty() {
            return json(
                StatusCode::FORBIDDEN,
                &object!({ "message": "Request forbidden by administrative rules." }),
            );
        }
        let token = asked
            .header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or_default();
        let known = lock(&self.tokens).get(token).cloned();
        let Some((id, scope)) = known else {
            return json(
                StatusCode::UNAUTHORIZED,
                &object!({ "message": "Bad credentials" }),
            );
        };
        let account = lock(&self.accounts)
            .iter()
            .find(|account| account.id == id)
            .cloned();
        let Some(account) = account else {
            return json(
                StatusCode::UNAUTHORIZED,
                &object!({ "message": "Bad credentials" }),
            );
        };
        let may_see = scope.split([' ', ',']).any(|scope| scope == "read:org");
        match asked.path.as_str() {
            "/api/v3/user" => json(
                StatusCode::OK,
                &object!({
                    "login": account.login, "id": account.id, "node_id": "MDQ6VXNlcjE=", "type": "User",
                    "name": "A Person", "email": "person@example.com",
                }),
            ),
            "/api/v3/user/orgs" | "/api/v3/user/teams" if !may_see => json(
                StatusCode::FORBIDDEN,
                &object!({ "message": "You need at least read:org scope" }),
            ),
            "/api/v3/user/orgs" => {
                let all = account
                    .organisations
                    .iter()
                    .map(|login| object!({ "login": login, "id": 1 }));
                json(StatusCode::OK, &cut(all.collect(), &asked.query))
            }
            "/api/v3/user/teams" => {
                let all = account.teams.iter().map(|(organisation, slug)| {
                    object!({ "slug": slug, "name": slug, "organization": { "login": organisation } })
                });
                json(StatusCode::OK, &cut(all.collect(), &asked.query))
            }
            _ => json(StatusCode::NOT_FOUND, &object!({ "message": "Not Found" })),
        }
    }

    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst)
    }
}

impl Issued {
    fn is_proved_by(&self, verifier: &str) -> bool {
        let asked = self.request.get("code_challenge");
        asked.is_empty() || asked == challenge(verifier)
    }
}

impl Provider<Github> {
    /// The part of a configuration that logs people in here.
    #[must_use]
    pub fn configuration(&self) -> String {
        format!(
            "  github: {{ client_id: {}, client_secret: \"{}\", base_url: \"{}\" }}\n",
            Github::CLIENT_ID,
            Github::CLIENT_SECRET,
            self.url()
        )
    }

    /// What the browser gets when it brings `target` here and somebody presses their button; nobody is Cancel.
    ///
    /// # Errors
    /// When there is no such page.
    pub async fn press(&self, target: &str, login: Option<&str>) -> anyhow::Result<Answer> {
        let url = url::Url::parse(target)?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.ask(&Request::get(&path)).await?.expect(200)?;
        let mut fields: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        match login {
            Some(login) => fields.push(("login".to_owned(), login.to_owned())),
            None => fields.push(("cancel".to_owned(), "1".to_owned())),
        }
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.ask(&Request::post("/login/oauth/authorize").form(&fields))
            .await
    }
}

fn error(code: &str) -> Value {
    object!({ "error": code, "error_description": "It did not work.", "error_uri": "https://docs.github.com" })
}

/// One page of a list.
fn cut(all: Vec<Value>, query: &Fields) -> Value {
    let number = |name, default| query.get(name).parse::<usize>().unwrap_or(default).max(1);
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    all.into_iter().skip((page - 1) * size).take(size).collect()
}
