//! Conditions: what is to hold of a call besides its name. In which language they are written is not known here.

use std::fmt;
use std::sync::Arc;

use super::check::Access;
use crate::{Clock, Principal, ServerName};

/// What conditions of every kind may look at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What for, by the name that clients see.
    pub access: Access<'a>,
    /// The method that would carry it out.
    pub method: &'static str,
    /// The server that would receive it.
    pub server: &'a ServerName,
    /// The tool, prompt or resource, as the server knows it.
    pub own: &'a str,
}

/// What is known of a call, and of nothing else.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The raw arguments, in the bytes that the server receives: a JSON object, `null`, or nothing where there are none.
    pub arguments: &'a [u8],
    /// The time.
    pub clock: &'a dyn Clock,
}

/// The conditions of one profile. What cannot be decided does not hold.
pub trait Conditions: Send + Sync + fmt::Debug {
    /// Judges by the conditions that look neither at arguments nor at the time: what breaks them is not there at all for this
    /// principal.
    ///
    /// # Errors
    /// The first one that does not hold.
    fn stand(&self, case: &Case<'_>) -> Result<(), Broken>;

    /// Whether there are any of these, so that lists may differ between principals.
    fn hide(&self) -> bool;

    /// Judges one call by the others.
    ///
    /// # Errors
    /// The first one that does not hold.
    fn hold(&self, case: &Case<'_>, facts: &Facts<'_>) -> Result<(), Broken>;
}

/// A condition that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which one, from 1, in the order of the configuration.
    pub rule: usize,
    /// What kept it from being decided; `None` where it has been. Nothing of the arguments is in it.
    pub fault: Option<&'static str>,
    /// What the operator wants the caller to read.
    pub message: Option<Arc<str>>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.rule)?;
        match self.fault {
            Some(fault) => write!(f, ": {fault}"),
            None => Ok(()),
        }
    }
}
