//! What the data path asks: the credential of the very person that calls, renewed before it ends and after it was refused.

use std::sync::Arc;

use sallyport_core::account::{
    AccountId, Bearer, ConnectFirst, Holder, NoBearer, Told, UseAccounts, Waiting,
};
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::{Secret, ServerName};
use sallyport_oauth::server_login::request::refresh_form;
use sallyport_oauth::server_login::tokens::{self, TokenError};
use sallyport_oauth::server_login::{Challenge, LoginError, Named, resource, union};
use sallyport_store::{Renewed, StoreError, StoredAccount};

use crate::connect::granted;
use crate::record::Record;
use crate::wire::{Body, Failure};
use crate::{Accounts, ServerLogin, lock};

/// How long an old credential is used on that could not be replaced in time, before that is tried again.
pub(crate) const AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

impl Accounts {
    async fn give(
        self: &Arc<Self>,
        server: &ServerName,
        holder: &Holder,
        pinned: Option<&AccountId>,
    ) -> Result<Arc<Bearer>, NoBearer> {
        let now = self.deps.clock.now();
        let chosen = match pinned {
            Some(pinned) => Some(pinned.clone()),
            None => self.purse.chosen(server, holder),
        };
        if let Some(bearer) = chosen
            .as_ref()
            .and_then(|id| self.purse.get(id, (server, holder), now))
        {
            return Ok(bearer);
        }
        let login = self
            .login(server)
            .ok_or_else(|| unavailable("the server is not configured for accounts"))?;
        if login.own {
            return self.own(server, &login, None).await;
        }
        let account = self.find(server, &login, (holder, pinned)).await?;
        let id = AccountId::new(account.id.as_str());
        let bearer = self.once(server, holder, &login, (id.clone(), None)).await?;
        if pinned.is_none() {
            self.purse.choose(server, holder, &id);
        }
        Ok(bearer)
    }

    /// The account of this holder, and never another's.
    async fn find(
        &self,
        server: &ServerName,
        login: &ServerLogin,
        (holder, pinned): (&Holder, Option<&AccountId>),
    ) -> Result<StoredAccount, NoBearer> {
        let store = &self.deps.store;
        let all = match (login.shared, holder) {
            (true, _) => store.accounts_at(server, None).await,
            (false, Holder::Person(user)) => store.accounts_at(server, Some(user)).await,
            (false, Holder::Gateway) => store.accounts().await.map(|all| {
                let here = all
                    .into_iter()
                    .filter(|a| a.server == *server && a.owner.is_some());
                here.collect()
            }),
        };
        let all = all.map_err(broken)?;
        let found = match (pinned, holder) {
            (Some(pinned), _) => all.into_iter().find(|account| account.id == pinned.as_str()),
            (None, Holder::Gateway) => all.into_iter().find(|account| account.problem.is_none()),
            (None, Holder::Person(_)) => all.into_iter().find(|account| account.in_use),
        };
        let found = found.ok_or_else(|| self.connect(server, holder, login, "has no account yet"))?;
        match &found.problem {
            Some(problem) => Err(self.connect(
                server,
                holder,
                login,
                &format!("has to be connected again: {problem}"),
            )),
            None => Ok(found),
        }
    }

    /// Opens the account, or renews it: on a task of its own, because tokens that were given out must be kept, whoever has
    /// left meanwhile. A credential that was refused is replaced.
    async fn once(
        self: &Arc<Self>,
        server: &ServerName,
        holder: &Holder,
        login: &Arc<ServerLogin>,
        (id, refused): (AccountId, Option<Refused>),
    ) -> Result<Arc<Bearer>, NoBearer> {
        let (this, login, server, holder) = (
            Arc::clone(self),
            Arc::clone(login),
            server.clone(),
            holder.clone(),
        );
        let task = self.deps.control.spawn(async move {
            let turn = this.purse.turn(&id);
            let _mine = turn.lock().await;
            let now = this.deps.clock.now();
            let newer = |bearer: &Arc<Bearer>| {
                refused
                    .as_ref()
                    .is_none_or(|refused| bearer.version > refused.version)
            };
            if let Some(bearer) = this.purse.get(&id, (&server, &holder), now).filter(newer) {
                return Ok(bearer);
            }
            let account = this.deps.store.account(id.as_str()).await.map_err(broken)?;
            let account =
                account.ok_or_else(|| this.connect(&server, &holder, &login, "has no account yet"))?;
            this.open_or_renew(&account, &holder, &login, refused).await
        });
        task.await
            .unwrap_or_else(|error| Err(unavailable(&format!("it was broken off: {error}"))))
    }

    async fn open_or_renew(
        &self,
        account: &StoredAccount,
        holder: &Holder,
        login: &ServerLogin,
        refused: Option<Refused>,
    ) -> Result<Arc<Bearer>, NoBearer> {
        let again = |problem: &str| {
            let text = format!("has to be connected again: {problem}");
            self.connect(&account.server, holder, login, &text)
        };
        if let Some(problem) = &account.problem {
            return Err(again(problem));
        }
        if !resource::covers(&account.resource, &login.url) {
            let problem = "the server has another address than when the account was connected";
            self.spoil(account, problem).await?;
            return Err(again(problem));
        }
        let now = self.deps.clock.now();
        let refused = refused.filter(|refused| refused.version >= account.version);
        if let Some(refused) = &refused
            && let Some(problem) = self.hopeless(account, login, refused).await
        {
            self.spoil(account, &problem).await?;
            return Err(again(&problem));
        }
        let record = self.open(&account.id, &account.sealed).map_err(kept)?;
        let stale = refused.is_some();
        if !stale && account.due > now {
            return Ok(self.hold(account, &record, account.due));
        }
        let problem = match self.renew(account, login, record).await {
            Ok(bearer) => return Ok(bearer),
            Err(Renewal::Later(record, _)) if !stale && record.ends > now => {
                return Ok(self.hold(account, &record, now.plus(AGAIN).min(record.ends)));
            }
            Err(Renewal::Later(_, failure)) => return Err(kept(failure)),
            Err(Renewal::Over(problem)) => problem,
        };
        self.spoil(account, &problem).await?;
        Err(again(&problem))
    }

    fn hold(&self, account: &StoredAccount, record: &Record, due: sallyport_core::Timestamp) -> Arc<Bearer> {
        let bearer = Arc::new(Bearer {
            account: AccountId::new(account.id.as_str()),
            version: account.version,
            header: Secret::new(format!("Bearer {}", record.access.expose())),
        });
        let place = (&account.server, account.owner.as_ref());
        self.purse.put(&bearer, place, due, self.deps.clock.now());
        bearer
    }

    /// Asks the issuer that gave the tokens, and nobody else, for others.
    async fn renew(
        &self,
        account: &StoredAccount,
        login: &ServerLogin,
        record: Record,
    ) -> Result<Arc<Bearer>, Renewal> {
        let Some(refresh) = record.refresh.clone() else {
            return Err(Renewal::Over(
                "its token has ended, and there is none to renew it with".to_owned(),
            ));
        };
        let asked = async {
            let client = self
                .client_of(login, &account.issuer, (&account.client, &record.method))
                .await?;
            let form = refresh_form(&client, refresh.expose(), &account.resource);
            let named = login.named();
            let answer = self
                .ask(Named(&named), &record.token_endpoint, Body::Form(&form))
                .await?;
            Ok::<_, Failure>(tokens::read(answer.status, &answer.body)?)
        };
        let tokens = match asked.await {
            Ok(tokens) => tokens,
            Err(Failure::Tokens(TokenError::Client(code))) => {
                let forgotten = self
                    .deps
                    .store
                    .forget_server_client(&account.issuer, &account.client);
                if let Err(error) = forgotten.await {
                    tracing::warn!(%error, "a client could not be forgotten");
                }
                return Err(Renewal::Over(TokenError::Client(code).to_string()));
            }
            Err(Failure::Tokens(over @ TokenError::Over(_))) => return Err(Renewal::Over(over.to_string())),
            Err(error @ Failure::NoClient) => return Err(Renewal::Over(error.to_string())),
            Err(error) => return Err(Renewal::Later(Box::new(record), error)),
        };
        let now = self.deps.clock.now();
        let (due, scopes) = (
            tokens.due(now),
            granted(&account.scopes, tokens.scopes.as_deref()),
        );
        let method = (record.token_endpoint, record.method);
        let record = Record::of(tokens, now, record.refresh, method);
        let renewed = Renewed {
            sealed: self.seal(&account.id, &record),
            scopes,
            due,
        };
        let place = (account.id.as_str(), account.version);
        match self.deps.store.renew_account(place, &renewed, now).await {
            Ok(true) => {}
            // Another process was faster, or the person: what is kept now counts.
            Ok(false) => {
                return Err(Renewal::Later(
                    Box::new(record),
                    Failure::Kept("it was changed meanwhile".to_owned()),
                ));
            }
            Err(error) => return Err(Renewal::Later(Box::new(record), error.into())),
        }
        let event = Self::event(
            Action::AccountRenew,
            Outcome::Ok,
            &account.server,
            account.owner.as_ref(),
        );
        self.note(&event.on(&account.name));
        let account = StoredAccount {
            version: account.version.saturating_add(1),
            ..account.clone()
        };
        self.purse
            .renewed(&AccountId::new(account.id.as_str()), account.version, now);
        Ok(self.hold(&account, &record, due))
    }

    /// The account is no good any more, and its owner will read why.
    async fn spoil(&self, account: &StoredAccount, problem: &str) -> Result<(), NoBearer> {
        let id = AccountId::new(account.id.as_str());
        self.purse.drop_one(&id);
        let place = (account.id.as_str(), account.version);
        let spoiled = self
            .deps
            .store
            .spoil_account(place, problem, &account.missing)
            .await;
        if spoiled.map_err(broken)? {
            tracing::warn!(server = %account.server, reason = problem, "an account has to be connected again");
            let event = Self::event(
                Action::AccountEnd,
                Outcome::Failed,
                &account.server,
                account.owner.as_ref(),
            );
            self.note(&event.on(&account.name).because(problem.to_owned()));
        }
        Ok(())
    }

    async fn replace(
        self: &Arc<Self>,
        server: &ServerName,
        holder: &Holder,
        bearer: &Bearer,
        told: Told<'_>,
    ) -> Result<Arc<Bearer>, NoBearer> {
        let login = self
            .login(server)
            .ok_or_else(|| unavailable("the server is not configured for accounts"))?;
        if login.own {
            return self.own(server, &login, Some(bearer.version)).await;
        }
        // It is still this holder's.
        self.find(server, &login, (holder, Some(&bearer.account))).await?;
        let refused = Refused {
            version: bearer.version,
            challenge: Challenge::read(told.iter().copied()),
        };
        self.once(server, holder, &login, (bearer.account.clone(), Some(refused)))
            .await
    }

    /// Why renewing would not help: the token was renewed just now, or the server believes another authorization server than
    /// the one that gave it, which is told nothing then (MD-06).
    async fn hopeless(
        &self,
        account: &StoredAccount,
        login: &ServerLogin,
        refused: &Refused,
    ) -> Option<String> {
        let id = AccountId::new(account.id.as_str());
        if self.purse.is_fresh(&id, account.version, self.deps.clock.now()) {
            return Some("the server refuses even a fresh token".to_owned());
        }
        let named = login.named();
        let own = self
            .described(login, refused.challenge.as_ref(), Named(&named))
            .await;
        let own = match own {
            Ok(own) => own?,
            Err(Failure::Login(error @ LoginError::OtherResource)) => return Some(error.to_string()),
            Err(_) => return None,
        };
        (!own.issuers.contains(&account.issuer)).then(|| {
            let now = own.issuers.first().map(|issuer| host(issuer)).unwrap_or_default();
            let before = host(&account.issuer);
            format!("the server now names another authorization server ({now}) than the one it was connected through ({before})")
        })
    }

    async fn step_up(
        &self,
        server: &ServerName,
        holder: &Holder,
        bearer: &Bearer,
        told: Told<'_>,
    ) -> NoBearer {
        let Some(login) = self.login(server) else {
            return unavailable("the server is not configured for accounts");
        };
        if login.own {
            return unavailable("the server says that the gateway may not do that");
        }
        let account = match self.find(server, &login, (holder, Some(&bearer.account))).await {
            Ok(account) => account,
            Err(error) => return error,
        };
        let wanted = Challenge::read(told.iter().copied()).map(|challenge| challenge.scopes);
        let wanted = wanted.unwrap_or_default();
        if wanted.iter().all(|scope| account.scopes.contains(scope)) {
            // Asked for and granted already: once more would not help.
            return unavailable(
                "the server says that the account may not do that, and asks for nothing else",
            );
        }
        let missing = union(&account.missing, &wanted);
        if let Err(error) = self.deps.store.want_scopes(&account.id, &missing).await {
            return broken(error);
        }
        self.connect(server, holder, &login, "needs more permissions for this")
    }

    /// Where the holder goes with the browser.
    fn connect(&self, server: &ServerName, holder: &Holder, login: &ServerLogin, why: &str) -> NoBearer {
        let settings = self.settings.load();
        let (whose, link) = match (holder, login.shared) {
            (Holder::Person(user), false) => ("Your account", Some(self.link(user, server))),
            (Holder::Person(_), true) => ("The account that all share", None),
            (Holder::Gateway, _) => ("The gateway", None),
        };
        let mut url = format!("{}/connect/{server}", settings.origin);
        if let Some(link) = &link {
            url.push_str("?for=");
            url.push_str(link);
        }
        let message = match whose {
            "Your account" if why == "has no account yet" => {
                format!("Connect your account at `{server}` first.")
            }
            whose => format!("{whose} at `{server}` {why}."),
        };
        NoBearer::Connect(ConnectFirst {
            url,
            message,
            id: link.unwrap_or_else(|| format!("connect-{server}")),
        })
    }
}

/// A credential that the server refused, and with which words.
struct Refused {
    version: u64,
    challenge: Option<Challenge>,
}

/// Why tokens were not renewed.
enum Renewal {
    /// For good: the person has to log in again.
    Over(String),
    /// For now: what there was before, and what went wrong.
    Later(Box<Record>, Failure),
}

fn host(issuer: &str) -> String {
    let url = url::Url::parse(issuer).ok();
    url.and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default()
}

pub(crate) fn unavailable(text: &str) -> NoBearer {
    NoBearer::Unavailable(text.to_owned())
}

fn broken(error: StoreError) -> NoBearer {
    NoBearer::Unavailable(format!("the store failed: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of the failure")]
fn kept(failure: Failure) -> NoBearer {
    NoBearer::Unavailable(failure.to_string())
}

/// The data path's view of the accounts.
pub struct Using(pub Arc<Accounts>);

impl UseAccounts for Using {
    fn bearer<'a>(
        &'a self,
        server: &'a ServerName,
        holder: &'a Holder,
        pinned: Option<&'a AccountId>,
    ) -> Waiting<'a, Result<Arc<Bearer>, NoBearer>> {
        Box::pin(self.0.give(server, holder, pinned))
    }

    fn refused<'a>(
        &'a self,
        server: &'a ServerName,
        holder: &'a Holder,
        bearer: &'a Bearer,
        told: Told<'a>,
    ) -> Waiting<'a, Result<Arc<Bearer>, NoBearer>> {
        Box::pin(self.0.replace(server, holder, bearer, told))
    }

    fn short<'a>(
        &'a self,
        server: &'a ServerName,
        holder: &'a Holder,
        bearer: &'a Bearer,
        told: Told<'a>,
    ) -> Waiting<'a, NoBearer> {
        Box::pin(self.0.step_up(server, holder, bearer, told))
    }

    fn challenged(&self, server: &ServerName, told: Told<'_>) -> bool {
        let Some(challenge) = Challenge::read(told.iter().copied()) else {
            return false;
        };
        if self.0.login(server).is_none() {
            return false;
        }
        lock(&self.0.challenges).insert(server.clone(), challenge);
        true
    }

    fn is_known<'a>(&'a self, server: &'a ServerName) -> Waiting<'a, bool> {
        Box::pin(async move {
            let all = self.0.deps.store.accounts().await.unwrap_or_default();
            self.0.login(server).is_some() && all.iter().any(|account| account.server == *server)
        })
    }
}
