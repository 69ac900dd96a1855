//! The `prompt` parameter (OpenID Connect Core §3.1.2.1): a space-separated list, of which unknown words are ignored.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the client wants the person to see. `select_account` is met by the consent page, which names the account and
/// offers another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Prompt {
    /// No page at all: answer or fail.
    pub none: bool,
    /// Log in again.
    pub login: bool,
    /// Ask for consent even if it is remembered.
    pub consent: bool,
}

/// `none` stands alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("`prompt=none` cannot be combined with other values")]
pub struct PromptError;

impl Prompt {
    /// Reads the parameter.
    ///
    /// # Errors
    /// [`PromptError`] for `none` together with another word.
    pub fn parse(value: Option<&str>) -> Result<Self, PromptError> {
        let words = || value.unwrap_or_default().split(' ').filter(|w| !w.is_empty());
        let has = |word| words().any(|w| w == word);
        let prompt = Self {
            none: has("none"),
            login: has("login"),
            consent: has("consent") || has("select_account"),
        };
        if prompt.none && words().any(|w| w != "none") {
            Err(PromptError)
        } else {
            Ok(prompt)
        }
    }

    /// The value with `consent`: a page is shown, whatever else is asked for.
    #[must_use]
    pub fn with_consent(value: Option<&str>) -> String {
        let mut words: Vec<&str> = value
            .unwrap_or_default()
            .split(' ')
            .filter(|w| !matches!(*w, "" | "none" | "consent"))
            .collect();
        words.push("consent");
        words.join(" ")
    }

    /// The value after the person has logged in: `login` is done, and `consent` is added where the request came from
    /// another site, because only a fresh yes may answer that.
    #[must_use]
    pub fn after_login(value: Option<&str>, from_elsewhere: bool) -> Option<String> {
        let mut words: Vec<&str> = value
            .unwrap_or_default()
            .split(' ')
            .filter(|w| !matches!(*w, "" | "login" | "none"))
            .collect();
        if from_elsewhere && !words.contains(&"consent") {
            words.push("consent");
        }
        (!words.is_empty()).then(|| words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_unknown_words_ignored() {
        let ask = Prompt {
            consent: true,
            ..Prompt::default()
        };
        assert_eq!(Prompt::parse(None), Ok(Prompt::default()));
        assert_eq!(Prompt::parse(Some("consent")), Ok(ask));
        assert_eq!(Prompt::parse(Some("consent select_account")), Ok(ask));
        assert_eq!(Prompt::parse(Some("select_account")), Ok(ask));
        assert_eq!(Prompt::parse(Some("create")), Ok(Prompt::default()));
        assert_eq!(
            Prompt::parse(Some("login consent")),
            Ok(Prompt { login: true, ..ask })
        );
        assert_eq!(
            Prompt::parse(Some("none")),
            Ok(Prompt {
                none: true,
                ..Prompt::default()
            })
        );
        assert_eq!(Prompt::parse(Some("none login")), Err(PromptError));
    }

    #[test]
    fn a_login_is_asked_for_once_only() {
        assert_eq!(Prompt::after_login(Some("login"), false), None);
        assert_eq!(
            Prompt::after_login(Some("login"), true).as_deref(),
            Some("consent")
        );
        assert_eq!(Prompt::after_login(None, true).as_deref(), Some("consent"));
        assert_eq!(
            Prompt::after_login(Some("consent login"), true).as_deref(),
            Some("consent")
        );
        assert_eq!(Prompt::after_login(None, false), None);
    }
}
