//! The authorization server as its clients, people and attackers meet it: the whole router, the real store and vault,
//! requests in memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: what is not as expected fails the test"
)]

mod account;
mod authorize;
mod browser;
mod clients;
mod consent;
mod device;
mod discovery;
mod documents;
mod dpop;
mod exchange;
mod introspection;
mod key_sets;
mod login;
mod logins;
mod management;
mod own_name;
mod pushed;
mod redirects;
mod refresh;
mod registration;
mod remembered;
mod revocation;
mod setup;
mod signed;
mod site;
mod throttle;
mod token;
mod world;
