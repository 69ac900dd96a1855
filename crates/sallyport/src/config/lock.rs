//! `lock`: whether tools have to be approved before clients see them.

use super::read::{choice, section};
use super::value::FilePath;

section! {
    /// Whether tools have to be approved before clients see them, and again when their definitions change.
    Lock {
        /// What happens to tools that are not approved as they are.
        mode: Mode = Mode::Off;
        /// Where the approved definitions are. Absent: `sallyport.lock.json` beside this file, or in the data directory where
        /// there is no file.
        file: Option<FilePath> = None;
    }
}

choice! {
    /// What happens to tools that are not approved as they are.
    Mode {
        /// Nothing: nobody is asked.
        Off = "off",
        /// What a server offers first is approved; later changes are let through, and recorded.
        Warn = "warn",
        /// What a server offers first is approved; what is new or has changed later is held back until it is approved.
        FirstUse = "first-use",
        /// Nothing is shown before it is approved.
        Strict = "strict",
    }
}
