//! Who we are at an authorization server.

use sallyport_core::Secret;
use sallyport_core::random::token;
use sallyport_oauth::server_login::Named;
use sallyport_oauth::server_login::client::{self, Client, Way};
use sallyport_oauth::server_login::issuer::{Metadata, Method};
use sallyport_store::{ServerClient, place};

use crate::wire::{Body, Failure};
use crate::{Accounts, ServerLogin};

impl Accounts {
    /// Who we are there, registered if need be.
    pub(crate) async fn become_client(
        &self,
        login: &ServerLogin,
        metadata: &Metadata,
        named: Named<'_>,
    ) -> Result<Client, Failure> {
        let settings = self.settings.load_full();
        let redirect_uri = settings.redirect_uri();
        let document = login
            .document()
            .map(str::to_owned)
            .or_else(|| settings.document());
        let endpoint = match client::way(
            metadata,
            login.issuer.is_some() && login.client_id.is_some(),
            document.as_deref(),
        )? {
            Way::Configured => return self.configured(login, &metadata.issuer, &metadata.methods),
            Way::Document(url) => return Ok(public(url)),
            Way::Register(endpoint) => endpoint,
        };
        if let Some(known) = self.registered(&metadata.issuer, &redirect_uri).await? {
            return Ok(known);
        }
        let sent = client::registration(metadata, &redirect_uri);
        let answer = self.ask(named, &endpoint, Body::Json(&sent)).await?;
        let client = client::registered(metadata, answer.status, &answer.body)?;
        let secret = client.secret.as_ref().map(|secret| {
            let record = place::server_client(&metadata.issuer, &client.id);
            self.deps.sealer.seal_secret(&record, secret.expose().as_bytes())
        });
        let kept = ServerClient {
            id: client.id.clone(),
            method: client.method.as_str().to_owned(),
            sealed: secret,
            expires: client.expires,
        };
        let place = (metadata.issuer.as_str(), redirect_uri.as_str());
        self.deps.store.put_server_client(place, &kept).await?;
        tracing::info!(issuer = metadata.issuer, "registered at an authorization server");
        Ok(client)
    }

    /// The client of that id at that issuer and no other: what one authorization server gave is never shown to another.
    pub(crate) async fn client_of(
        &self,
        login: &ServerLogin,
        issuer: &str,
        (id, method): (&str, &str),
    ) -> Result<Client, Failure> {
        let settings = self.settings.load_full();
        if login.client_id.as_deref() == Some(id) && login.issuer.as_deref() == Some(issuer) {
            let method = Method::parse(method).unwrap_or(Method::None);
            return self.configured(login, issuer, &[method]);
        }
        if login.document() == Some(id) || settings.document().as_deref() == Some(id) {
            return Ok(public(id.to_owned()));
        }
        let known = self.registered(issuer, &settings.redirect_uri()).await?;
        known.filter(|known| known.id == id).ok_or(Failure::NoClient)
    }

    /// The client that the operator registered, ready for one request.
    pub(crate) fn configured(
        &self,
        login: &ServerLogin,
        issuer: &str,
        methods: &[Method],
    ) -> Result<Client, Failure> {
        let id = login.client_id.as_deref().unwrap_or_default();
        let key = login.client_key.as_ref();
        let signed = key.map(|key| {
            let number = token::<16>(&*self.deps.random);
            key.sign_statement(&client::statement(id, issuer, &number, self.deps.clock.now()))
        });
        Ok(Client {
            id: id.to_owned(),
            method: client::configured(methods, key.is_some(), login.client_secret.is_some()),
            secret: login.client_secret.clone(),
            statement: signed
                .transpose()
                .map_err(|error| Failure::Kept(error.to_string()))?,
            expires: None,
        })
    }

    async fn registered(&self, issuer: &str, redirect_uri: &str) -> Result<Option<Client>, Failure> {
        let kept = self.deps.store.server_client(issuer, redirect_uri).await?;
        let now = self.deps.clock.now();
        let Some(kept) = kept.filter(|kept| kept.expires.is_none_or(|expires| expires > now)) else {
            return Ok(None);
        };
        let secret = match &kept.sealed {
            None => None,
            Some(sealed) => {
                let opened = self
                    .deps
                    .opener
                    .open_secret(&place::server_client(issuer, &kept.id), sealed);
                let opened = opened.map_err(|error| Failure::Kept(error.to_string()))?;
                let text = String::from_utf8(opened.expose().clone());
                Some(Secret::new(
                    text.map_err(|error| Failure::Kept(error.utf8_error().to_string()))?,
                ))
            }
        };
        Ok(Some(Client {
            id: kept.id,
            secret,
            statement: None,
            method: Method::parse(&kept.method).unwrap_or(Method::None),
            expires: kept.expires,
        }))
    }
}

fn public(id: String) -> Client {
    Client {
        id,
        secret: None,
        statement: None,
        method: Method::None,
        expires: None,
    }
}
