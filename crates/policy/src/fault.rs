//! What keeps a rule from being decided, in words that hold nothing of the arguments.

use cel::ExecutionError;

use crate::steps;

/// The arguments are longer than rules look at.
pub(crate) const LONG: &str = "the arguments are longer than rules read";

/// An argument is written like one that rules name, in other case: a server might take it for that one.
pub(crate) const LOOK_ALIKE: &str = "an argument only looks like one that rules name";

/// The arguments are no JSON object that can be taken as it is.
pub(crate) const UNREADABLE: &str = "the arguments cannot be read";

/// The expression gives something else than true or false.
pub(crate) const NEITHER: &str = "the result is neither true nor false";

/// What went wrong. The error itself may hold values, and is not shown to anybody.
pub(crate) fn of(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "a key is missing",
        ExecutionError::IndexOutOfBounds(_) => "a list is too short",
        ExecutionError::Overflow(..)
        | ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_) => "a number is out of range",
        ExecutionError::FunctionError { function, .. } if function == steps::FUNCTION => {
            "the loops have too many steps"
        }
        ExecutionError::FunctionError { .. } => "a function cannot be applied",
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::NotSupportedAsMethod { .. }
        | ExecutionError::UnsupportedKeyType(_)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedIndex(..) => "the types do not fit",
        _ => "it cannot be evaluated",
    }
}
