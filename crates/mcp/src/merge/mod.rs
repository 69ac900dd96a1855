//! Several servers as one: every name and URI that clients see leads to one server, and to one only.

mod build;
#[cfg(test)]
mod extension_tests;
mod names;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod uris;

pub use build::{CollisionError, Naming, merge};
pub use names::{MAX_PREFIXED_NAME, SEPARATOR, prefixed_name};
pub use table::{Entry, Merged};
pub use template::template_matches;
pub use uris::{UriRoute, prefixed_uri};
