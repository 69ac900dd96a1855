//! What loops cost: each pays for its elements before it begins. The interpreter has no bound of its own.

use std::cell::Cell;

use cel::common::types::{LIST_TYPE, MAP_TYPE};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};

use crate::limits;

/// The function that is put around what a loop goes over. No source text can spell it.
pub(crate) const FUNCTION: &str = "@steps";

thread_local! {
    /// How many steps are left to what is being judged on this thread. Judging never waits, so nothing comes between.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Begins to judge a call.
pub(crate) fn begin() {
    LEFT.set(limits::STEPS);
}

/// Adds [`FUNCTION`].
///
/// # Errors
/// It is there already.
pub(crate) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(FUNCTION, "steps_of_list", vec![LIST_TYPE.to_owned()], pay)?;
    env.add_overload(FUNCTION, "steps_of_map", vec![MAP_TYPE.to_owned()], pay)
}

fn pay<'b, 'v>(over: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let over = over.into_iter().next();
    let over = over.ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
    let size = over.as_sizer().map(|sizer| *sizer.size().inner());
    let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(u32::MAX);
    match LEFT.get().checked_sub(size) {
        Some(left) => {
            LEFT.set(left);
            Ok(over)
        }
        None => {
            LEFT.set(0);
            Err(ExecutionError::function_error(FUNCTION, "too many steps"))
        }
    }
}
