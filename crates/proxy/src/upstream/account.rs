//! Requests with the credential of an account: attached to each as it is sent, replaced once when the server refuses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem;
use sallyport_core::account::{AccountId, Bearer, ConnectFirst, Holder, NoBearer, UseAccounts};
use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_core::{PrincipalKey, ServerName};
use sallyport_net::http1::{Answer, Headers, RequestHead};
use tokio::sync::Notify;

use crate::spec::{Login, ServerSpec};

const OPERATION: &str = "use an account";

/// Whether a server wants people's accounts, and who has them.
pub(crate) struct Door {
    server: ServerName,
    login: Login,
    asks: AtomicBool,
    accounts: Arc<dyn UseAccounts>,
    changed: Notify,
}

/// Whose account it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Account {
    pub(crate) holder: Holder,
    /// One account and no other: what a session was opened with. The gateway takes whichever there is.
    pub(crate) pinned: Option<AccountId>,
}

impl Account {
    /// The gateway's own use.
    pub(crate) fn gateway() -> Self {
        Self {
            holder: Holder::Gateway,
            pinned: None,
        }
    }
}

/// A way through the door.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) door: Arc<Door>,
    pub(crate) account: Account,
}

impl Door {
    pub(crate) fn new(spec: &ServerSpec, accounts: Arc<dyn UseAccounts>) -> Arc<Self> {
        Arc::new(Self {
            server: spec.name.clone(),
            login: spec.login,
            asks: AtomicBool::new(spec.login == Login::Always),
            accounts,
            changed: Notify::new(),
        })
    }

    /// Whether the server is called with accounts.
    pub(crate) fn asks(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// A server at which somebody has an account is called with one from the beginning.
    pub(crate) async fn remember(&self) {
        if self.login == Login::IfAsked && !self.asks() && self.accounts.is_known(&self.server).await {
            self.asks.store(true, Ordering::Relaxed);
        }
    }

    /// The account with which a client's calls are made; none where the server wants none.
    ///
    /// # Errors
    /// A fault with a [`ConnectFirst`] where the person has none.
    pub(crate) async fn account_of(&self, principal: &PrincipalKey) -> Result<Option<Account>, Fault> {
        if !self.asks() {
            return Ok(None);
        }
        let holder = principal.user().map_or(Holder::Gateway, Holder::Person);
        let bearer = self
            .accounts
            .bearer(&self.server, &holder, None)
            .await
            .map_err(fault)?;
        Ok(Some(Account {
            holder,
            pinned: Some(bearer.account.clone()),
        }))
    }

    /// A request without an account was refused: from now on the server is called with accounts, if it can be.
    ///
    /// # Errors
    /// A fault with a [`ConnectFirst`] if the server wants one.
    pub(crate) async fn refused(&self, answer: Answer) -> Result<Answer, Fault> {
        if self.login == Login::Never || !self.accounts.challenged(&self.server, &told(&answer.headers)) {
            return Ok(answer);
        }
        drop(answer);
        self.asks.store(true, Ordering::Relaxed);
        // Whoever called will find out whether there is one of their own.
        match self.accounts.bearer(&self.server, &Holder::Gateway, None).await {
            Ok(_) => Err(fault(NoBearer::Unavailable(
                "the server wants one from now on; try again".to_owned(),
            ))),
            Err(error) => Err(fault(error)),
        }
    }

    /// Becomes ready when accounts have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Accounts have changed.
    pub(crate) fn wake(&self) {
        if self.asks() {
            self.changed.notify_one();
        }
    }
}

impl Ticket {
    /// Sends a request with the credential, and once more with another one where it was refused: a request that was
    /// answered with 401 was not carried out.
    ///
    /// # Errors
    /// A fault; with a [`ConnectFirst`] where the person has to log in.
    pub(crate) async fn send<F>(
        &self,
        head: &RequestHead,
        send: impl Fn(RequestHead) -> F,
    ) -> Result<Answer, Fault>
    where
        F: Future<Output = Result<Answer, Fault>> + Send,
    {
        let (door, Account { holder, pinned }) = (&*self.door, &self.account);
        let bearer = door.accounts.bearer(&door.server, holder, pinned.as_ref()).await;
        let mut bearer = bearer.map_err(fault)?;
        let mut again = true;
        loop {
            let answer = send(signed(head, &bearer)?).await?;
            let told = told(&answer.headers);
            match answer.status {
                401 => {
                    let next = door.accounts.refused(&door.server, holder, &bearer, &told).await;
                    bearer = next.map_err(fault)?;
                }
                403 if told
                    .iter()
                    .any(|told| memmem::find(told, b"insufficient_scope").is_some()) =>
                {
                    return Err(fault(
                        door.accounts.short(&door.server, holder, &bearer, &told).await,
                    ));
                }
                _ => return Ok(answer),
            }
            if !std::mem::take(&mut again) {
                return Err(fault(NoBearer::Unavailable("the server refuses it".to_owned())));
            }
        }
    }
}

fn signed(head: &RequestHead, bearer: &Bearer) -> Result<RequestHead, Fault> {
    let mut head = head.clone();
    head.put_known(&http::header::AUTHORIZATION, bearer.header.expose())
        .map_err(|error| Fault::gateway(OPERATION, error))?;
    Ok(head)
}

fn told(headers: &Headers) -> Vec<&[u8]> {
    headers.all("www-authenticate").collect()
}

/// Nothing was carried out.
fn fault(error: NoBearer) -> Fault {
    match error {
        NoBearer::Connect(first) => Fault::new(Blame::Client, Retry::Safe, OPERATION, first),
        NoBearer::Unavailable(_) => Fault::new(Blame::Gateway, Retry::Safe, OPERATION, error),
    }
}

/// Where the person has to go first, if that is why it failed.
pub(crate) fn connect_first(fault: &Fault) -> Option<&ConnectFirst> {
    std::error::Error::source(fault)?.downcast_ref()
}
