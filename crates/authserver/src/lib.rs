//! The authorization server's endpoints and pages, a file each: they read a request, load what the rules of
//! `sallyport-oauth` need, do what the rules say, and answer.
//!
//! What is *not* here: rules, SQL, cryptography, MCP. It can sign tokens and seal forms, and open no stored secret.
#![forbid(unsafe_code)]

mod account;
mod answers;
mod app;
mod approvals;
mod approve;
mod assets;
mod authorize;
mod body;
mod browser;
mod clients;
mod connect;
mod consent;
mod context;
mod cookie;
mod cors;
pub mod credentials;
mod device;
mod device_authorization;
mod documents;
mod fetching;
mod flow;
mod form;
mod hashing;
mod home;
mod introspect;
mod key_sets;
mod limits;
mod login;
mod logins;
mod manage;
mod pages;
mod par;
mod people;
mod problem;
mod proofs;
mod provider;
mod register;
mod revoke;
mod routes;
mod sender;
mod settings;
mod setup;
mod token;
mod wellknown;

pub use app::{MetricHook, Parts};
pub use approvals::Approvals;
pub use logins::Logins;
pub use people::People;
pub use proofs::Proofs;
pub use routes::router;
pub use settings::{ResourceInfo, Settings, Throttle};
pub use setup::setup_link;
