//! Answers on their way to a client of the other era, and what every answer may need on its way.

mod ask;
mod eras;
mod kind;
mod links;
mod older;
#[cfg(test)]
mod tests;
mod visit;

pub use ask::{
    INPUT_REQUIRED, InputRequest, InputRequired, InputResponse, InvalidAsk, input_required_result,
    input_responses, without_input,
};
pub use eras::{to_legacy, to_modern};
pub use kind::{COMPLETE, result_type};
pub use links::rewrite_uris;
pub use older::{to_older, tool_for_legacy};
pub use visit::{Visit, visits};
