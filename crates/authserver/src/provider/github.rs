//! GitHub: the token endpoint and the API.

use sallyport_core::Secret;
use sallyport_net::Reach;
use sallyport_oauth::provider::Identity;
use sallyport_oauth::provider::callback::Callback;
use sallyport_oauth::provider::github::{Asked, Github, List, MAX_PAGES, token};
use url::Url;

use super::Ties;
use super::wire::{Ask, ProviderError, ask};
use crate::app::App;

const JSON: &str = "application/vnd.github+json";

/// Where the browser goes.
pub(super) fn authorization_url(github: &Github, ties: &Ties, other_account: bool) -> Url {
    github.authorization_url(Asked {
        redirect_uri: &ties.redirect_uri,
        state: &ties.state,
        challenge: &ties.challenge(),
        other_account,
    })
}

/// Who the code is for. GitHub's token is used for these few requests and then forgotten.
pub(super) async fn identify(
    app: &App,
    github: &Github,
    back: &Callback,
    (code, ties): (&str, &Ties),
) -> Result<Identity, ProviderError> {
    if back
        .issuer
        .as_ref()
        .is_some_and(|issuer| !github.is_issuer(issuer))
    {
        return Err(ProviderError::Issuer);
    }
    let form = github.token_form((code, &ties.verifier, &ties.redirect_uri));
    let answer = ask(
        app,
        Ask {
            url: &github.token_endpoint(),
            reach: Reach::Operator,
            accept: "application/json",
            authorization: None,
            form: Some(&form),
        },
    )
    .await?;
    let media_type = answer.headers.get("content-type").unwrap_or_default();
    let token = token(answer.status, media_type, &answer.body)?;
    let bearer = Secret::new(format!("Bearer {}", token.expose()));
    let mut groups = Vec::new();
    if github.organisations {
        for list in [List::Organisations, List::Teams] {
            groups.extend(all(app, github, list, &bearer).await?);
        }
    }
    let user = get(app, &github.user_endpoint(), &bearer).await?;
    Ok(github.identity(user.status, &user.body, groups)?)
}

async fn all(
    app: &App,
    github: &Github,
    list: List,
    bearer: &Secret<String>,
) -> Result<Vec<String>, ProviderError> {
    let mut groups = Vec::new();
    for page in 1..=MAX_PAGES {
        let answer = get(app, &github.list_endpoint(list, page), bearer).await?;
        let (found, more) = list.groups(answer.status, &answer.body)?;
        groups.extend(found);
        if !more {
            break;
        }
    }
    Ok(groups)
}

async fn get(
    app: &App,
    url: &Url,
    bearer: &Secret<String>,
) -> Result<sallyport_net::egress::Fetched, ProviderError> {
    let request = Ask {
        url,
        reach: Reach::Operator,
        accept: JSON,
        authorization: Some(bearer),
        form: None,
    };
    ask(app, request).await
}
