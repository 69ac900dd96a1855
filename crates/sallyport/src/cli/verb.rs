//! From a verb to what it does.

use std::future::Future;
use std::sync::Arc;

use sallyport_core::clock::SystemClock;
use sallyport_vault::SystemRandom;

use super::args::{Format, Shared, Verb};
use super::{
    Failure, accounts, audit, clients, configuration, doctor, keys, serve, servers, token, tools, users,
    vault,
};
use crate::base::{Base, load};
use crate::config::{Adjustments, Config, Location};
use crate::environment::Environment;

/// One run of the command line.
pub(super) struct Run {
    pub(super) shared: Shared,
    pub(super) environment: Environment,
}

impl Run {
    pub(super) fn new(shared: Shared, environment: Environment) -> Self {
        Self { shared, environment }
    }

    pub(super) fn verb(self, verb: Verb) -> Result<(), Failure> {
        match verb {
            Verb::Serve(args) => self.wait(serve::serve(&self, &args)),
            Verb::Tools(verb) => self.wait(tools::run(&self, &verb)),
            Verb::Config(verb) => self.wait(configuration::run(&self, &verb)),
            Verb::Add(args) => self.wait(servers::add(&self, &args)),
            Verb::List => self.wait(servers::list(&self)),
            Verb::Login(args) => self.wait(accounts::login(&self, &args)),
            Verb::Accounts => self.wait(accounts::list(&self)),
            Verb::Get { name } => self.wait(servers::get(&self, &name)),
            Verb::Remove { name } => self.wait(servers::remove(&self, &name)),
            Verb::User(verb) => self.wait(users::run(&self, &verb)),
            Verb::Client(verb) => self.wait(clients::run(&self, &verb)),
            Verb::Token(verb) => self.wait(token::run(&self, &verb)),
            Verb::Key(verb) => self.wait(keys::run(&self, &verb)),
            Verb::Vault(verb) => self.wait(vault::run(&self, &verb)),
            Verb::Audit(verb) => self.wait(audit::run(&self, &verb)),
            Verb::Doctor(args) => self.wait(doctor::run(&self, &args)),
        }
    }

    /// Runs a verb that needs no threads of its own.
    pub(super) fn wait<T>(&self, verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let outcome = runtime.block_on(verb);
        // What a verb left behind is not waited for: a stop at once would become the drain that it was to cut short.
        runtime.shutdown_background();
        outcome
    }

    pub(super) fn is_json(&self) -> bool {
        self.shared.format == Format::Json
    }

    pub(super) fn location(&self) -> Location {
        Location::find(self.shared.config.clone(), self.environment.text())
    }

    pub(super) fn adjustments(&self) -> Adjustments {
        Adjustments {
            data_dir: self.shared.data_dir.clone(),
            ..Adjustments::default()
        }
    }

    pub(super) async fn config(&self) -> Result<Config, Failure> {
        Ok(load(&self.location(), &self.adjustments()).await?)
    }

    pub(super) async fn base(&self) -> Result<Base, Failure> {
        let config = self.config().await?;
        Ok(Base::open(
            config,
            &self.environment,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        )
        .await?)
    }
}
