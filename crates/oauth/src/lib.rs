//! The rules of the authorization server: functions of what is known, the time and chance to what is decided. No IO.
#![forbid(unsafe_code)]

pub mod model;
