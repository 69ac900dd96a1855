//! What the tests of Sallyport stand on: servers of both eras to put behind a gateway, and a gateway to test.
#![forbid(unsafe_code)]

pub mod everything;
