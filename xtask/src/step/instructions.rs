//! No request has become dearer than the record says.

use super::Count;
use crate::instructions;
use crate::workspace::Workspace;

/// Counts each scenario that was compared.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let (passed, failed) = instructions::compare(workspace)?;
    Ok(Count { passed, failed })
}
