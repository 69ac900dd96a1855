//! GitHub, in the cloud or of an enterprise: an OAuth app with PKCE, and its REST API. There are no ID tokens: who somebody
//! is, the API says.

use sallyport_core::Secret;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, parse};

use super::admission::GITHUB;
use super::{AnswerError, Identity, below, error_code};

const TOKEN: &str = "token endpoint";
const USER: &str = "API";

/// The most pages of organisations or teams that are read, of 100 each.
pub const MAX_PAGES: usize = 5;

/// GitHub as the operator configures it.
#[derive(Clone)]
pub struct Github {
    /// Where people log in: `https://github.com`, or the address of an enterprise's own.
    pub base: Url,
    /// Its REST API.
    pub api: Url,
    /// The id of the OAuth app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret<String>,
    /// Whether organisations and teams are asked for: only where a list goes by them.
    pub organisations: bool,
}

/// What one log-in asks.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// Ties the answer to the log-in.
    pub state: &'a str,
    /// The S256 challenge.
    pub challenge: &'a str,
    /// Whether the person wants another account than last time.
    pub other_account: bool,
}

impl Github {
    /// The API that belongs to an address, unless the operator names another.
    #[must_use]
    pub fn api_of(base: &Url) -> Url {
        if base.host_str() == Some("github.com") {
            let mut api = base.clone();
            if api.set_host(Some("api.github.com")).is_ok() {
                return api;
            }
        }
        below(base, "api/v3")
    }

    /// Who vouches for its people: the address without a slash at the end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether an `iss` that came back can be GitHub's (RFC 9207): it does not promise one.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        Url::parse(issuer).is_ok_and(|issuer| issuer.origin() == self.base.origin())
    }

    /// Where the browser goes. Nothing is asked for but who the person is, and the organisations where a list needs them.
    #[must_use]
    pub fn authorization_url(&self, asked: Asked<'_>) -> Url {
        let mut url = below(&self.base, "login/oauth/authorize");
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", asked.redirect_uri)
            .append_pair("state", asked.state)
            .append_pair("code_challenge", asked.challenge)
            .append_pair("code_challenge_method", crate::pkce::METHOD);
        if self.organisations {
            query.append_pair("scope", "read:org");
        }
        if asked.other_account {
            query.append_pair("prompt", "select_account");
        }
        drop(query);
        url
    }

    /// Where codes become tokens.
    #[must_use]
    pub fn token_endpoint(&self) -> Url {
        below(&self.base, "login/oauth/access_token")
    }

    /// The request that makes a code into a token.
    #[must_use]
    pub fn token_form(&self, (code, verifier, redirect_uri): (&str, &str, &str)) -> Secret<String> {
        let mut form = Serializer::new(String::new());
        form.append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose())
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", verifier);
        Secret::new(form.finish())
    }

    /// `/user`.
    #[must_use]
    pub fn user_endpoint(&self) -> Url {
        below(&self.api, "user")
    }

    /// A page of `/user/orgs` or `/user/teams`, counted from 1.
    #[must_use]
    pub fn list_endpoint(&self, list: List, page: usize) -> Url {
        let mut url = below(&self.api, list.path());
        url.query_pairs_mut()
            .append_pair("per_page", "100")
            .append_pair("page", &page.to_string());
        url
    }

    /// Whom the answer of `/user` names, with groups that were gathered besides.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn identity(&self, status: u16, body: &[u8], groups: Vec<String>) -> Result<Identity, AnswerError> {
        let user = json(status, body)?;
        let id = user.get("id").and_then(Value::as_u64).filter(|id| *id > 0);
        let id = id.ok_or(AnswerError::Form(USER, "the user has no id"))?;
        let login = user.get("login").and_then(Value::as_str);
        Identity::new((GITHUB, self.issuer()), &id.to_string(), login, groups)
    }
}

/// A list of what somebody belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// Organisations.
    Organisations,
    /// Teams of organisations.
    Teams,
}

impl List {
    fn path(self) -> &'static str {
        match self {
            Self::Organisations => "user/orgs",
            Self::Teams => "user/teams",
        }
    }

    /// The groups on a page, `org:NAME` or `team:ORG/SLUG`, and whether there may be more pages.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn groups(self, status: u16, body: &[u8]) -> Result<(Vec<String>, bool), AnswerError> {
        let page = json(status, body)?;
        let items = page.as_array().ok_or(AnswerError::Form(USER, "it is no list"))?;
        let group = |item: &Value| match self {
            Self::Organisations => Some(format!("org:{}", item.get("login")?.as_str()?)),
            Self::Teams => {
                let organisation = item.get("organization")?.get("login")?.as_str()?;
                Some(format!("team:{organisation}/{}", item.get("slug")?.as_str()?))
            }
        };
        Ok((items.iter().filter_map(group).collect(), items.len() >= 100))
    }
}

/// Reads the answer of the token endpoint: JSON, or a form from older versions. Errors come with status 200.
///
/// # Errors
/// [`AnswerError`].
pub fn token(status: u16, media_type: &str, body: &[u8]) -> Result<Secret<String>, AnswerError> {
    if status != 200 {
        return Err(AnswerError::Status(TOKEN, status));
    }
    let is_form = media_type.starts_with("application/x-www-form-urlencoded");
    let answer: Value = if is_form {
        parse(body)
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    } else {
        serde_json::from_slice(body).map_err(|_| AnswerError::Form(TOKEN, "it is no JSON"))?
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if let Some(error) = text("error") {
        return Err(AnswerError::Refused(TOKEN, error_code(error)));
    }
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(AnswerError::Form(TOKEN, "it is no bearer token"));
    }
    let token =
        text("access_token").filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
    token
        .map(Secret::from)
        .ok_or(AnswerError::Form(TOKEN, "there is no token in it"))
}

fn json(status: u16, body: &[u8]) -> Result<Value, AnswerError> {
    if status != 200 {
        return Err(AnswerError::Status(USER, status));
    }
    serde_json::from_slice(body).map_err(|_| AnswerError::Form(USER, "it is no JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn github(base: &str) -> Github {
        let base = Url::parse(base).unwrap();
        Github {
            api: Github::api_of(&base),
            base,
            client_id: "id".into(),
            client_secret: Secret::from("secret"),
            organisations: false,
        }
    }

    #[test]
    fn where_the_api_is_follows_from_the_address() {
        for (base, user) in [
            ("https://github.com", "https://api.github.com/user"),
            (
                "https://github.example.com/",
                "https://github.example.com/api/v3/user",
            ),
        ] {
            assert_eq!(github(base).user_endpoint().as_str(), user);
        }
        let page = github("https://github.com").list_endpoint(List::Teams, 2);
        assert_eq!(
            page.as_str(),
            "https://api.github.com/user/teams?per_page=100&page=2"
        );
    }

    #[test]
    fn nothing_is_asked_for_that_is_not_needed() {
        let asked = Asked {
            redirect_uri: "http://h/callback/github",
            state: "s",
            challenge: "c",
            other_account: false,
        };
        let mut github = github("https://github.com");
        assert_eq!(
            github.authorization_url(asked).as_str(),
            "https://github.com/login/oauth/authorize?client_id=id&redirect_uri=http%3A%2F%2Fh%2Fcallback%2Fgithub\
             &state=s&code_challenge=c&code_challenge_method=S256"
        );
        github.organisations = true;
        let other = Asked {
            other_account: true,
            ..asked
        };
        let url = github.authorization_url(other);
        assert!(
            url.as_str().ends_with("&scope=read%3Aorg&prompt=select_account"),
            "{url}"
        );
    }

    #[test]
    fn tokens_and_errors_come_as_json_or_as_forms_with_status_200() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let json = "application/json; charset=utf-8";
        let good: [(&str, &[u8]); 2] = [
            (
                json,
                br#"{"access_token":"gho_x","token_type":"bearer","scope":""}"#,
            ),
            (form, b"access_token=gho_x&scope=&token_type=bearer"),
        ];
        for (media_type, body) in good {
            assert_eq!(token(200, media_type, body).unwrap().expose(), "gho_x");
        }
        let refused = AnswerError::Refused(TOKEN, "bad_verification_code".into());
        let bad: [(&str, &[u8]); 2] = [
            (
                json,
                br#"{"error":"bad_verification_code","error_description":"..."}"#,
            ),
            (form, b"error=bad_verification_code"),
        ];
        for (media_type, body) in bad {
            assert_eq!(token(200, media_type, body).err(), Some(refused.clone()));
        }
        for body in [
            &b"<html>"[..],
            b"{}",
            br#"{"access_token":"x","token_type":"mac"}"#,
            b"[]",
        ] {
            assert!(token(200, json, body).is_err());
        }
        assert_eq!(
            token(503, json, b"{}").err(),
            Some(AnswerError::Status(TOKEN, 503))
        );
    }

    #[test]
    fn people_are_their_numbers() {
        let github = github("https://github.com/");
        let body = br#"{"login":"octocat","id":583231,"name":"<b>","email":"o@x.test"}"#;
        let person = github
            .identity(200, body, vec!["org:b".into(), "org:a".into()])
            .unwrap();
        assert_eq!(
            (person.subject.as_str(), person.label.as_deref()),
            ("583231", Some("octocat"))
        );
        assert_eq!(person.issuer, "https://github.com");
        assert_eq!(person.groups, ["org:a", "org:b"]);
        for odd in [
            r#"{"login":"x"}"#,
            r#"{"login":"x","id":"583231"}"#,
            r#"{"id":0}"#,
            r#"{"id":-1}"#,
            "[]",
        ] {
            assert!(github.identity(200, odd.as_bytes(), vec![]).is_err(), "{odd}");
        }
        assert!(github.identity(401, body, vec![]).is_err());
        let teams = br#"[{"slug":"ops","organization":{"login":"acme"}},{"slug":"x"}]"#;
        assert_eq!(
            List::Teams.groups(200, teams).unwrap(),
            (vec!["team:acme/ops".to_owned()], false)
        );
        assert!(List::Organisations.groups(200, b"{}").is_err());
    }
}
