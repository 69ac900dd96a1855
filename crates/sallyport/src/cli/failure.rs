//! How a verb ends that does not end well.

use std::process::ExitCode;

use super::args::Format;
use super::output;
use crate::base::StartError;
use crate::config::Problems;

/// Why a verb did not do it.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong.
    Config(Problems),
    /// What was typed cannot be done.
    Usage(String),
    /// It failed.
    Failed(anyhow::Error),
    /// It was done, and the answer is no; everything was said.
    Negative,
    /// Whoever read the output has gone.
    NobodyReads,
}

impl Failure {
    /// The exit code of wrong usage.
    pub const USAGE: u8 = 2;
    /// The exit code of a wrong configuration (`EX_CONFIG`).
    pub const CONFIG: u8 = 78;

    /// It failed, in words.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(what.into()))
    }

    /// Says it, and gives the exit code.
    pub(super) fn report(self, format: Format) -> ExitCode {
        match self {
            Self::Config(problems) => {
                if format == Format::Json {
                    let value = serde_json::json!({ "valid": false, "problems": problems });
                    let _ = output::json(&value);
                } else {
                    output::note(&problems.to_string());
                }
                ExitCode::from(Self::CONFIG)
            }
            Self::Usage(what) => {
                output::note(&format!("error: {what}"));
                ExitCode::from(Self::USAGE)
            }
            Self::Failed(error) => {
                output::note(&format!("error: {error:#}"));
                ExitCode::FAILURE
            }
            Self::Negative => ExitCode::FAILURE,
            Self::NobodyReads => ExitCode::SUCCESS,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(problems) => Self::Config(problems),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Config(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<sallyport_store::StoreError> for Failure {
    fn from(error: sallyport_store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Failed(error.into())
        }
    }
}
