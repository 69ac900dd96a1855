//! The vocabulary of Sallyport and its decisions: no input or output, no async runtime, no ambient time or chance.
//!
//! Every other crate may depend on this one; this one depends on none of them.
#![forbid(unsafe_code)]

pub mod account;
pub mod approval;
pub mod audit;
pub mod capability;
pub mod clock;
pub mod fault;
pub mod id;
pub mod map;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod random;
pub mod resource;
pub mod scope;
pub mod secret;
pub mod session;
pub mod watch;

pub use clock::{Clock, Timestamp};
pub use id::{ClientId, GrantId, ProfileSlug, RequestId, ServerName, Thumbprint, TokenId, UserId};
pub use permission::{Level, Permission};
pub use principal::{Principal, PrincipalKey};
pub use random::Random;
pub use resource::Resource;
pub use scope::{Scope, ScopeSet};
pub use secret::Secret;
pub use smol_str::SmolStr;
