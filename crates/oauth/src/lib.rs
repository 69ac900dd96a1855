//! The rules of the authorization server: functions of what is known, the time and chance to what is decided. No IO.
//!
//! One authorization code walks through [`authorize`] (request), [`consent`] (person's yes), [`token_request`] and
//! [`client_auth`] (who redeems), [`redeem`] (the code) and [`token_set`] (the answer); [`refresh`] goes on from there.
//! What is *not* here: HTTP, the store, how a token is signed or a secret hashed, the words of pages.
#![forbid(unsafe_code)]

pub mod account;
pub mod assertion;
pub mod authorize;
pub mod client_auth;
pub mod client_document;
pub mod consent;
pub mod device;
pub mod display;
pub mod dpop;
pub mod error;
pub mod exchange;
pub mod flight;
pub mod foreign;
pub mod id_jag;
pub mod jws;
pub mod known_client;
pub mod management;
pub mod metadata;
pub mod model;
pub mod narrowed;
pub mod own_name;
pub mod params;
pub mod pkce;
pub mod prompt;
pub mod provider;
pub mod pushed;
pub mod rate;
pub mod redeem;
pub mod redirect;
pub mod refresh;
pub mod registration;
pub mod resources;
pub mod return_path;
pub mod server_login;
pub mod token_request;
pub mod token_set;

pub use error::ErrorCode;
pub use params::Params;
pub use resources::Resources;
