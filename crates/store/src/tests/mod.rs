//! The aggregates against a real database; what must be atomic, against two processes' views of one.

mod accounts;
mod opening;
mod people;
mod pushed;
mod server_accounts;
mod server_sessions;
mod sessions;
mod tokens;
mod vault;
