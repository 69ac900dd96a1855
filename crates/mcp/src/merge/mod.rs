//! Several servers as one: every name and URI that clients see leads to one server, and to one only.

mod names;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod uris;

pub use names::{MAX_PREFIXED_NAME, SEPARATOR, prefixed_name};
pub use table::{CollisionError, Entry, Merged, Naming, merge};
pub use template::template_matches;
pub use uris::{UriRoute, prefixed_uri};
