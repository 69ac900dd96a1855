//! What the pages ask.

use sallyport_core::ServerName;
use sallyport_core::account::{
    AccountId, AccountView, ConnectError, KeepAccounts, Person, Proposal, ServerAccounts, Waiting,
};
use sallyport_oauth::server_login::client;
use sallyport_store::StoredAccount;
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::connect::internal;
use crate::{Accounts, lock};

impl Accounts {
    async fn listed(&self, person: &Person) -> Result<Vec<ServerAccounts>, ConnectError> {
        let settings = self.settings.load_full();
        let mut listed = Vec::new();
        for (server, login) in settings
            .servers
            .iter()
            .filter(|(_, login)| !login.own && login.admits(person))
        {
            let owner = (!login.shared).then_some(&person.user);
            let accounts = self
                .deps
                .store
                .accounts_at(server, owner)
                .await
                .map_err(internal)?;
            let asks = login.is_certain || lock(&self.challenges).contains_key(server);
            if accounts.is_empty() && !asks {
                continue;
            }
            listed.push(ServerAccounts {
                server: server.clone(),
                url: login.url.to_string(),
                shared: login.shared,
                may_connect: !login.shared || person.admin,
                accounts: accounts.into_iter().map(view).collect(),
            });
        }
        Ok(listed)
    }
}

fn view(account: StoredAccount) -> AccountView {
    AccountView {
        id: AccountId::new(account.id),
        name: account.name,
        issuer: account.issuer,
        scopes: account.scopes,
        problem: account.problem,
        in_use: account.in_use,
    }
}

impl KeepAccounts for Accounts {
    fn servers<'a>(&'a self, person: &'a Person) -> Waiting<'a, Result<Vec<ServerAccounts>, ConnectError>> {
        Box::pin(self.listed(person))
    }

    fn propose<'a>(
        &'a self,
        person: &'a Person,
        server: &'a ServerName,
        name: &'a str,
    ) -> Waiting<'a, Result<Proposal, ConnectError>> {
        Box::pin(async move { Ok(self.proposal(person, (server, name)).await?.0) })
    }

    fn depart<'a>(
        &'a self,
        person: &'a Person,
        place: (&'a ServerName, &'a str),
        agreed: &'a Proposal,
        browser: &'a str,
    ) -> Waiting<'a, Result<Url, ConnectError>> {
        Box::pin(self.out(person, place, agreed, browser))
    }

    fn arrive<'a>(
        &'a self,
        person: &'a Person,
        browser: &'a str,
        query: &'a str,
    ) -> Waiting<'a, Result<(ServerName, String), ConnectError>> {
        Box::pin(self.back(person, browser, query))
    }

    fn choose<'a>(&'a self, person: &'a Person, id: &'a AccountId) -> Waiting<'a, Result<(), ConnectError>> {
        Box::pin(self.select(person, id))
    }

    fn disconnect<'a>(
        &'a self,
        person: &'a Person,
        id: &'a AccountId,
    ) -> Waiting<'a, Result<(), ConnectError>> {
        Box::pin(self.end(person, id))
    }

    fn is_for(&self, person: &Person, server: &ServerName, link: &str) -> bool {
        let own = self.link(&person.user, server);
        own.as_bytes().ct_eq(link.as_bytes()).into()
    }

    fn client_document(&self) -> Option<String> {
        let settings = self.settings.load();
        let url = settings.document()?;
        Some(client::document(&url, &settings.redirect_uri(), &settings.origin).to_string())
    }
}
