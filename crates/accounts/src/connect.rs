//! Connecting an account: what is proposed to the person, the browser's way out, and its way back.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::account::{AccountId, ConnectError, Person, Proposal};
use sallyport_core::audit::{Action, Outcome as Recorded};
use sallyport_core::random::token;
use sallyport_core::{ServerName, UserId};
use sallyport_oauth::model::Digest;
use sallyport_oauth::pkce;
use sallyport_oauth::provider::callback::{Callback, Outcome};
use sallyport_oauth::server_login::request::{Asked, authorization_url, code_form, scopes};
use sallyport_oauth::server_login::tokens::{self, Tokens};
use sallyport_oauth::server_login::{Named, union};
use sallyport_store::{AccountDeparture, StoreError, StoredAccount};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::discover::Found;
use crate::record::Record;
use crate::wire::{Body, Failure};
use crate::{Accounts, ServerLogin};

/// How long a person may take at the authorization server.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Accounts of one owner at one server: a few roles in a few organisations.
const MAX_ACCOUNTS: usize = 8;

/// The longest name of an account, in bytes.
const MAX_NAME: usize = 32;

/// What a log-in that is on its way is for. Nothing in it is secret.
#[derive(Serialize, Deserialize)]
struct Plan {
    server: ServerName,
    name: String,
    issuer: String,
    names_itself: bool,
    client: String,
    method: String,
    redirect_uri: String,
    token_endpoint: Url,
    resource: String,
    scopes: Vec<String>,
}

impl Accounts {
    /// Who owns the accounts that this person looks after at the server.
    pub(crate) fn owner(login: &ServerLogin, person: &Person) -> Result<Option<UserId>, ConnectError> {
        match (login.shared, person.admin) {
            (false, _) => Ok(Some(person.user.clone())),
            (true, true) => Ok(None),
            (true, false) => Err(ConnectError::NoSuchServer),
        }
    }

    pub(crate) fn login_for(
        &self,
        person: &Person,
        server: &ServerName,
    ) -> Result<(std::sync::Arc<ServerLogin>, Option<UserId>), ConnectError> {
        let login = self
            .login(server)
            .filter(|login| !login.own && login.admits(person));
        let login = login.ok_or(ConnectError::NoSuchServer)?;
        let owner = Self::owner(&login, person)?;
        Ok((login, owner))
    }

    pub(crate) async fn proposal(
        &self,
        person: &Person,
        (server, name): (&ServerName, &str),
    ) -> Result<(Proposal, Found), ConnectError> {
        let (login, owner) = self.login_for(person, server)?;
        if !is_name(name) {
            return Err(ConnectError::Name);
        }
        let accounts = self.deps.store.accounts_at(server, owner.as_ref()).await;
        let accounts = accounts.map_err(internal)?;
        let known = accounts.iter().find(|account| account.name == name);
        if known.is_none() && accounts.len() >= MAX_ACCOUNTS {
            return Err(ConnectError::TooMany);
        }
        let found = self
            .discover(server, &login)
            .await
            .map_err(|error| failed(server, &error))?;
        let missing = known.map(|known| match known.missing.as_slice() {
            [] => Vec::new(),
            missing => union(&known.scopes, missing),
        });
        let scopes = scopes(
            &login.scopes,
            found.challenge.as_ref(),
            &found.scopes,
            &missing.unwrap_or_default(),
            &found.metadata,
        );
        let issuer = found.metadata.issuer.clone();
        let moved_from = known
            .map(|known| known.issuer.clone())
            .filter(|before| *before != issuer);
        let proposal = Proposal {
            server: server.clone(),
            url: login.url.to_string(),
            issuer,
            leads_to: found.metadata.authorization_endpoint.clone(),
            scopes,
            moved_from,
        };
        Ok((proposal, found))
    }

    /// Asks everything again: what the person said yes to is what happens, or nothing does.
    pub(crate) async fn out(
        &self,
        person: &Person,
        (server, name): (&ServerName, &str),
        agreed: &Proposal,
        browser: &str,
    ) -> Result<Url, ConnectError> {
        let (proposal, found) = self.proposal(person, (server, name)).await?;
        if proposal != *agreed {
            return Err(ConnectError::Changed);
        }
        let (login, _) = self.login_for(person, server)?;
        let named = login.named();
        let client = self.become_client(&login, &found.metadata, Named(&named)).await;
        let client = client.map_err(|error| failed(server, &error))?;
        let state = token::<32>(&*self.deps.random);
        let plan = Plan {
            server: server.clone(),
            name: name.to_owned(),
            issuer: found.metadata.issuer.clone(),
            names_itself: found.metadata.names_itself,
            client: client.id.clone(),
            method: client.method.as_str().to_owned(),
            redirect_uri: self.settings.load().redirect_uri(),
            token_endpoint: found.metadata.token_endpoint.clone(),
            resource: found.resource,
            scopes: proposal.scopes,
        };
        let departure = AccountDeparture {
            state: self.digest("account-state", &state),
            browser: self.digest("account-browser", browser),
            user: person.user.clone(),
            plan: serde_json::to_string(&plan).map_err(|_| ConnectError::Internal)?,
            expires: self.deps.clock.now().plus(MAX_AGE),
        };
        self.deps
            .store
            .depart_for_account(&departure)
            .await
            .map_err(internal)?;
        let asked = Asked {
            client: &plan.client,
            redirect_uri: &plan.redirect_uri,
            state: &state,
            challenge: &pkce::challenge_of(&self.verifier(&state)),
            resource: &plan.resource,
            scopes: &plan.scopes,
        };
        Ok(authorization_url(&found.metadata, asked))
    }

    /// Nothing of what the browser brings is used before it is known that this person began it here, and whose answer it
    /// is (RFC 9207 §2.4).
    pub(crate) async fn back(
        &self,
        person: &Person,
        browser: &str,
        query: &str,
    ) -> Result<(ServerName, String), ConnectError> {
        let back = Callback::read(query).map_err(|_| ConnectError::Foreign)?;
        let (state, browser) = (
            self.digest("account-state", &back.state),
            self.digest("account-browser", browser),
        );
        let arrived = self
            .deps
            .store
            .arrive_for_account(&state, &browser, &person.user)
            .await;
        let departure = arrived.map_err(internal)?.ok_or(ConnectError::Foreign)?;
        if self.deps.clock.now() >= departure.expires {
            return Err(ConnectError::Foreign);
        }
        let plan: Plan = serde_json::from_str(&departure.plan).map_err(|_| ConnectError::Internal)?;
        let (login, owner) = self.login_for(person, &plan.server)?;
        if !back.is_from(&plan.issuer, plan.names_itself) {
            tracing::warn!(server = %plan.server, "an answer does not say that it is the authorization server's (RFC 9207)");
            return Err(ConnectError::Failed(
                "the answer does not say that it is that authorization server's, so it was not used (RFC 9207)".to_owned(),
            ));
        }
        let code = match back.outcome {
            Outcome::Code(code) => code,
            Outcome::Denied => return Err(ConnectError::Denied),
            Outcome::Failed(code) => {
                return Err(ConnectError::Failed(format!(
                    "the authorization server says `{code}`"
                )));
            }
        };
        let tokens = self
            .redeem(&login, &plan, (code.expose(), &self.verifier(&back.state)))
            .await;
        let tokens = tokens.map_err(|error| failed(&plan.server, &error))?;
        self.keep(person, owner, &plan, tokens).await?;
        Ok((plan.server, plan.name))
    }

    async fn redeem(
        &self,
        login: &ServerLogin,
        plan: &Plan,
        (code, verifier): (&str, &str),
    ) -> Result<Tokens, Failure> {
        let client = self
            .client_of(login, &plan.issuer, (&plan.client, &plan.method))
            .await?;
        let form = code_form(&client, (code, verifier), &plan.redirect_uri, &plan.resource);
        let named = login.named();
        let answer = self
            .ask(Named(&named), &plan.token_endpoint, Body::Form(&form))
            .await?;
        Ok(tokens::read(answer.status, &answer.body)?)
    }

    async fn keep(
        &self,
        person: &Person,
        owner: Option<UserId>,
        plan: &Plan,
        tokens: Tokens,
    ) -> Result<(), ConnectError> {
        let now = self.deps.clock.now();
        let accounts = self.deps.store.accounts_at(&plan.server, owner.as_ref()).await;
        let known = accounts
            .map_err(internal)?
            .into_iter()
            .find(|account| account.name == plan.name);
        let id = match &known {
            Some(known) => known.id.clone(),
            None => token::<16>(&*self.deps.random),
        };
        let event = Self::event(
            Action::AccountConnect,
            Recorded::Ok,
            &plan.server,
            Some(&person.user),
        );
        let recorded = self
            .deps
            .audit
            .record_durably(event.on(&plan.name).because(plan.issuer.clone()));
        recorded.await.map_err(|_| ConnectError::Internal)?;
        let (due, scopes) = (tokens.due(now), granted(&plan.scopes, tokens.scopes.as_deref()));
        let record = Record::of(
            tokens,
            now,
            None,
            (plan.token_endpoint.clone(), plan.method.clone()),
        );
        let account = StoredAccount {
            sealed: self.seal(&id, &record),
            id,
            server: plan.server.clone(),
            owner,
            name: plan.name.clone(),
            issuer: plan.issuer.clone(),
            resource: plan.resource.clone(),
            client: plan.client.clone(),
            scopes,
            missing: Vec::new(),
            problem: None,
            in_use: true,
            due,
            version: known.as_ref().map_or(1, |known| known.version.saturating_add(1)),
            created: known.map_or(now, |known| known.created),
        };
        self.deps
            .store
            .put_account(&account, now)
            .await
            .map_err(internal)?;
        self.forget();
        tracing::info!(server = %plan.server, issuer = plan.issuer, "an account was connected");
        Ok(())
    }

    pub(crate) async fn end(&self, person: &Person, id: &AccountId) -> Result<(), ConnectError> {
        let account = self.deps.store.account(id.as_str()).await.map_err(internal)?;
        let Some(account) = account else { return Ok(()) };
        let (_, owner) = self.login_for(person, &account.server)?;
        if account.owner != owner {
            return Err(ConnectError::NoSuchServer);
        }
        let event = Self::event(
            Action::AccountEnd,
            Recorded::Ok,
            &account.server,
            Some(&person.user),
        );
        let recorded = self
            .deps
            .audit
            .record_durably(event.on(&account.name).because("disconnected"));
        recorded.await.map_err(|_| ConnectError::Internal)?;
        let removed = self.deps.store.remove_account(id.as_str(), owner.as_ref()).await;
        removed.map_err(internal)?;
        self.forget();
        Ok(())
    }

    pub(crate) async fn select(&self, person: &Person, id: &AccountId) -> Result<(), ConnectError> {
        let account = self.deps.store.account(id.as_str()).await.map_err(internal)?;
        let account = account.ok_or(ConnectError::NoSuchServer)?;
        let (_, owner) = self.login_for(person, &account.server)?;
        let used = self.deps.store.use_account(id.as_str(), owner.as_ref()).await;
        if !used.map_err(internal)? {
            return Err(ConnectError::NoSuchServer);
        }
        self.forget();
        Ok(())
    }

    fn digest(&self, label: &'static str, secret: &str) -> Digest {
        self.deps.derive.derive(label, secret.as_bytes())
    }

    /// The PKCE verifier follows from the state, so that it need not be kept.
    fn verifier(&self, state: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.deps.derive.derive("account-verifier", state.as_bytes()))
    }
}

/// What was asked for and granted: an authorization server cannot make an account ask for more next time.
pub(crate) fn granted(asked: &[String], told: Option<&[String]>) -> Vec<String> {
    match told {
        Some(told) => asked
            .iter()
            .filter(|scope| told.contains(scope))
            .cloned()
            .collect(),
        None => asked.to_vec(),
    }
}

/// One grammar for names that people type and read.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

pub(crate) fn internal(error: StoreError) -> ConnectError {
    tracing::error!(%error, "the store failed");
    ConnectError::Internal
}

fn failed(server: &ServerName, error: &Failure) -> ConnectError {
    tracing::warn!(%server, %error, "no account can be connected at a server");
    ConnectError::Failed(error.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_the_limit_and_past_it() {
        for good in ["a", "default", "work-2.x_y", &"n".repeat(MAX_NAME)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "é", "<b>", "a/b", &"n".repeat(MAX_NAME + 1)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn nobody_gets_more_than_was_asked_for() {
        let list = |words: &str| -> Vec<String> { words.split_whitespace().map(str::to_owned).collect() };
        assert_eq!(granted(&list("a b"), None), list("a b"));
        assert_eq!(granted(&list("a b"), Some(&list("b admin"))), list("b"));
    }
}
