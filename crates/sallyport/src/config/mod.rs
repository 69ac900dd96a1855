//! The configuration: one YAML file, a Rust file for each of its sections.
//!
//! Text becomes a tree that knows places ([`tree`]), references are replaced ([`expand`]), types read themselves from
//! the tree and collect every problem ([`read`]), and rules look across sections ([`check`]). The JSON Schema and what
//! `config show` prints come from the same types.

pub mod auth;
pub mod check;
pub mod client_form;
pub mod egress;
pub mod expand;
pub mod issuers;
pub mod limits;
mod load;
pub mod lock;
pub mod people;
pub mod problem;
pub mod profiles;
pub mod protocol;
pub mod read;
pub mod root;
pub mod rules;
pub mod server_auth;
pub mod servers;
mod show;
pub mod table;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod value;

pub(crate) use load::print;
pub use load::{Adjustments, Config, Draft, Location, parse_server};
pub use problem::{Problem, Problems};
pub use show::{schema, yaml, yaml_of_what_is_set};
