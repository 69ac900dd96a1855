//! What servers offer now, asked by a command: as they say it, whatever is approved.

use std::sync::Arc;
use std::time::Duration;

use sallyport_core::ServerName;
use sallyport_net::egress::Egress;
use sallyport_proxy::spec::ServerSpec;
use sallyport_proxy::upstream::{Launcher, ServerState, Status, UpstreamDeps, Upstreams};

use super::live::{plan_now, run_dir};
use crate::base::{Base, StartError, public_origin};
use crate::child;
use crate::environment::Environment;

/// One server, and what it says.
pub(crate) struct Offer {
    /// As it is configured.
    pub(crate) spec: ServerSpec,
    /// What it says; in words why not.
    pub(crate) state: Result<Arc<ServerState>, String>,
}

/// Connects every server, or the one of this name, and asks what it offers.
///
/// # Errors
/// [`StartError`], above all where there is no such server.
pub(crate) async fn offers(
    base: &Base,
    environment: &Environment,
    only: Option<&ServerName>,
) -> Result<Vec<Offer>, StartError> {
    let origin = public_origin(&base.config, base.config.root.listen.value.0);
    let mut specs = plan_now(base, &base.config, &origin).await?.proxy.servers;
    if let Some(name) = only {
        specs.retain(|spec| spec.name == *name);
        if specs.is_empty() {
            return Err(StartError::Other(format!("there is no server `{name}`")));
        }
    }
    let trail = Arc::new(base.trail().await?);
    let upstreams = Upstreams::start(UpstreamDeps {
        accounts: Arc::new(sallyport_core::account::NoAccounts),
        sessions: None,
        clock: Arc::clone(&base.clock),
        random: Arc::clone(&base.random),
        audit: trail.clone(),
        egress: Egress::new((&base.config.root.egress).into()),
        control: tokio::runtime::Handle::current(),
        run_dir: run_dir(&base.config.data_dir)?,
        launcher: Launcher::Guard(child::guard_command()),
        environment: environment.all(),
    });
    upstreams.apply(specs.clone());
    settle(&upstreams, &specs).await;
    let fleet = upstreams.fleet();
    let offers = specs.into_iter().map(|spec| {
        let state = match fleet.servers.get(&spec.name) {
            Some(state) => match &state.status {
                Status::Ready => Ok(Arc::clone(state)),
                Status::Connecting => Err("it does not answer".to_owned()),
                Status::Failed { reason } => Err(reason.clone()),
            },
            None => Err("it does not answer".to_owned()),
        };
        Offer { spec, state }
    });
    let offers = offers.collect();
    upstreams.shutdown().await;
    trail.shutdown().await;
    Ok(offers)
}

/// Waits until each server has answered, or had its time to.
async fn settle(upstreams: &Upstreams, specs: &[ServerSpec]) {
    let patience: Duration = specs
        .iter()
        .map(|spec| spec.limits.connect + spec.limits.handshake)
        .max()
        .unwrap_or_default();
    let mut fleet = upstreams.watch();
    let known = fleet.wait_for(|fleet| {
        specs.iter().all(|spec| {
            let state = fleet.servers.get(&spec.name);
            state.is_some_and(|state| state.status != Status::Connecting)
        })
    });
    // Who is late is named as such.
    let _ = tokio::time::timeout(patience, known).await;
}
