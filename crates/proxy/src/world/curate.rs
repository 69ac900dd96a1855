//! What of the servers' tools clients are shown, where definitions have to be approved.

use std::collections::HashMap;
use std::sync::Arc;

use sallyport_core::ServerName;

use crate::spec::{Curate, ServerSpec};
use crate::upstream::{Fleet, ServerState};

/// What was judged of each server: as it was, and as it is shown.
#[derive(Default)]
pub(super) struct Curated(HashMap<ServerName, (Arc<ServerState>, Arc<ServerState>)>);

impl Curated {
    /// Judges everything anew from now on.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fleet without the tools that are held back. A server of which nothing has changed stays the same value.
    pub(super) fn of(&mut self, fleet: &Fleet, specs: &[ServerSpec], curator: &dyn Curate) -> Fleet {
        let mut shown = Fleet::default();
        for (name, state) in &fleet.servers {
            let known = self.0.get(name).filter(|(judged, _)| Arc::ptr_eq(judged, state));
            let curated = match known {
                Some((_, curated)) => Arc::clone(curated),
                None => match specs.iter().find(|spec| spec.name == *name) {
                    Some(spec) => without(state, &curator.held(spec, state)),
                    // It is just being removed.
                    None => Arc::clone(state),
                },
            };
            let both = (Arc::clone(state), Arc::clone(&curated));
            self.0.insert(name.clone(), both);
            shown.servers.insert(name.clone(), curated);
        }
        self.0.retain(|name, _| fleet.servers.contains_key(name));
        shown
    }
}

fn without(state: &Arc<ServerState>, held: &[Box<str>]) -> Arc<ServerState> {
    if held.is_empty() {
        return Arc::clone(state);
    }
    let mut catalogue = (*state.catalogue).clone();
    catalogue.tools.retain(|tool| !held.contains(&tool.key));
    Arc::new(ServerState {
        catalogue: Arc::new(catalogue),
        ..(**state).clone()
    })
}
