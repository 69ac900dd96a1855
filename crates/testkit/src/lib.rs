//! What the tests of Sallyport stand on: servers of both eras to put behind a gateway, and a gateway to test.
#![forbid(unsafe_code)]

pub mod apart;
pub mod browser;
pub mod clock;
pub mod dpop;
pub mod everything;
pub mod forge;
pub mod framed;
pub mod front;
pub mod gateway;
pub mod http;
pub mod legacy_tasks;
pub mod mcp;
pub mod oauth;
pub mod process;
pub mod provider;
pub mod site;
