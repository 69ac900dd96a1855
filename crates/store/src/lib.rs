//! The embedded store: SQLite in WAL mode, every commit synced, one writer at a time. Nobody else knows SQL.
//!
//! One file per aggregate. What must happen together is one method and one transaction: taking a code, rotating a refresh
//! token, removing a user. Several processes may work on one directory at once; SQLite's write lock puts them in order.
//!
//! The [audit trail](audit) is a chain of keyed hashes in the same database, with a checkpoint in a file beside it.
#![forbid(unsafe_code)]

mod accounts;
mod api_keys;
pub mod audit;
mod browser;
mod changes;
mod clients;
mod columns;
mod consents;
mod devices;
mod directory;
mod error;
mod grants;
mod groups;
mod identities;
mod keys;
pub mod logins;
mod migrate;
mod once;
pub mod place;
mod pushed;
mod refresh;
mod registrations;
mod sealed;
mod server_sessions;
mod servers;
mod sessions;
mod setup;
mod store;
mod sweep;
mod users;
mod vault;
mod write;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use accounts::{AccountDeparture, Renewed, ServerClient, StoredAccount};
pub use audit::AuditTrail;
pub use clients::Reaping;
pub use directory::DirectoryError;
pub use error::StoreError;
pub use groups::GroupsSet;
pub use identities::Departure;
pub use keys::StoredKey;
pub use migrate::Schema;
pub use refresh::Rotation;
pub use registrations::{Maker, RegistrationToken};
pub use sealed::{KeyId, Resealed, Sealed, SealedRecord};
pub use servers::StoredServer;
pub use store::{Store, StoreOptions};
pub use users::{CreateUserError, PasswordSet, RemovedUser};
pub use vault::{Origin, StoredFormerKey};
