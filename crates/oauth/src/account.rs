//! What the name and the password of a local account may be.

use thiserror::Error;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;
/// The shortest password that is accepted for a new account, in characters (NIST SP 800-63B §5.1.1.2).
pub const MIN_PASSWORD: usize = 8;
/// The longest password, in bytes; longer ones are refused before they are hashed (LG-07).
pub const MAX_PASSWORD: usize = 1024;

/// The longest name of a group, in bytes.
pub const MAX_GROUP: usize = 64;
/// The most groups of one person: far more than a list of people can tell apart.
pub const MAX_GROUPS: usize = 64;

/// Why a name or password is refused. The text is for the person who chose it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AccountError {
    /// Not 1 to [`MAX_NAME`] of the allowed characters. ASCII only: letters that look alike would make two people one.
    #[error(
        "A name has 1 to 64 letters (a to z), digits or any of . _ - @ + and starts with a letter or digit."
    )]
    Name,
    /// Shorter than [`MIN_PASSWORD`].
    #[error("A password has at least 8 characters; a sentence is easy to keep in mind.")]
    Short,
    /// Longer than [`MAX_PASSWORD`].
    #[error("A password has at most 1024 bytes.")]
    Long,
    /// Not 1 to [`MAX_GROUP`] of the allowed characters.
    #[error(
        "A group has 1 to 64 letters (a to z), digits or any of . _ - and starts with a letter or digit."
    )]
    Group,
    /// More than [`MAX_GROUPS`].
    #[error("A person is in at most 64 groups.")]
    Groups,
}

/// Checks the groups of a local person.
///
/// # Errors
/// [`AccountError::Group`] or [`AccountError::Groups`].
pub fn check_groups(groups: &[String]) -> Result<(), AccountError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let is_name = |name: &String| {
        let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        starts && name.len() <= MAX_GROUP && name.bytes().all(allowed)
    };
    match groups.len() {
        0..=MAX_GROUPS if groups.iter().all(is_name) => Ok(()),
        0..=MAX_GROUPS => Err(AccountError::Group),
        _ => Err(AccountError::Groups),
    }
}

/// Checks the name of a new account.
///
/// # Errors
/// [`AccountError::Name`].
pub fn check_name(name: &str) -> Result<(), AccountError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+');
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts && name.len() <= MAX_NAME && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(AccountError::Name)
    }
}

/// Checks the password of a new account.
///
/// # Errors
/// [`AccountError::Short`] or [`AccountError::Long`].
pub fn check_password(password: &str) -> Result<(), AccountError> {
    if password.len() > MAX_PASSWORD {
        Err(AccountError::Long)
    } else if password.chars().count() < MIN_PASSWORD {
        Err(AccountError::Short)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_at_the_limit_past_it_and_odd() {
        let many = |count: usize| (0..count).map(|n| format!("g{n}")).collect::<Vec<_>>();
        let one = |name: &str| check_groups(&[name.to_owned()]);
        assert_eq!(check_groups(&many(MAX_GROUPS)), Ok(()));
        assert_eq!(check_groups(&many(MAX_GROUPS + 1)), Err(AccountError::Groups));
        assert_eq!(one(&"g".repeat(MAX_GROUP)), Ok(()));
        assert_eq!(one(&"g".repeat(MAX_GROUP + 1)), Err(AccountError::Group));
        for odd in ["", "-g", "a b", "a*", "a:b", "org/team", "grüße", "g\n"] {
            assert_eq!(one(odd), Err(AccountError::Group), "{odd:?}");
        }
    }

    #[test]
    fn lg_07_names_at_the_limit_past_it_and_odd() {
        for good in ["a", "admin", "ada.lovelace@example.com", "0-x", &"a".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " a",
            "a b",
            ".a",
            "a\0b",
            "аdmin",
            "a\u{202e}",
            &"a".repeat(65),
        ] {
            assert_eq!(check_name(bad), Err(AccountError::Name), "{bad:?}");
        }
    }

    #[test]
    fn lg_07_passwords_at_the_limits_and_past_them() {
        assert_eq!(check_password(&"é".repeat(7)), Err(AccountError::Short));
        assert_eq!(check_password(&"é".repeat(8)), Ok(()));
        assert_eq!(check_password(&"a".repeat(1024)), Ok(()));
        assert_eq!(check_password(&"a".repeat(1025)), Err(AccountError::Long));
    }
}
