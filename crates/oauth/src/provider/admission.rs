//! Who of a provider's people comes in: a list that is empty for nobody, and never goes by a name that has changed hands.

use std::fmt;

use thiserror::Error;

use super::Identity;

/// The name under which the configuration knows GitHub.
pub const GITHUB: &str = "github";

/// Words that begin entries and therefore name no provider.
const RESERVED: [&str; 9] = [
    "id", "org", "team", "group", "client", "local", "user", "role", "admin",
];

/// One entry of a list of people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// `*`: everybody whom a provider vouches for.
    Everybody,
    /// `PROVIDER:id:ID`: by the unchangeable id.
    Id(String, String),
    /// `PROVIDER:NAME`, or a GitHub login alone: whoever came first under that name.
    Name(String, String),
    /// `PROVIDER:group:GROUP`, or `group:GROUP` of whichever provider.
    Group(Option<String>, String),
}

/// Why an entry says nothing. The text holds the mend.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EntryError {
    /// Nothing, or nothing behind the colon.
    #[error(
        "write a GitHub login, `PROVIDER:NAME`, `PROVIDER:id:ID`, `group:NAME`, `PROVIDER:group:NAME`, `org:NAME`, \
         `team:ORG/SLUG`, or `*` for everybody"
    )]
    Form,
    /// Digits could be a login as well as an id.
    #[error("`{0}` could be an id or a login; write `{1}:id:{0}` for the id")]
    Digits(String, String),
    /// The name of a provider that cannot be one.
    #[error("`{0}` names no identity provider")]
    Provider(String),
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        if text == "*" {
            return Ok(Self::Everybody);
        }
        if text.is_empty() || text.contains(char::is_whitespace) && !text.contains("group:") {
            return Err(EntryError::Form);
        }
        let Some((first, rest)) = text.split_once(':') else {
            return named(GITHUB, text);
        };
        if rest.is_empty() {
            return Err(EntryError::Form);
        }
        match first {
            "group" => Ok(Self::Group(None, rest.to_owned())),
            "org" if !rest.contains(['/', ':']) => {
                Ok(Self::Group(Some(GITHUB.to_owned()), format!("org:{rest}")))
            }
            "team" if rest.split('/').count() == 2 && !rest.starts_with('/') && !rest.ends_with('/') => {
                Ok(Self::Group(Some(GITHUB.to_owned()), format!("team:{rest}")))
            }
            provider if !is_provider_name(provider) && provider != GITHUB => {
                Err(EntryError::Provider(provider.to_owned()))
            }
            provider => match rest.split_once(':') {
                Some((_, "")) => Err(EntryError::Form),
                Some(("id", id)) => Ok(Self::Id(provider.to_owned(), id.to_owned())),
                Some(("group", group)) => Ok(Self::Group(Some(provider.to_owned()), group.to_owned())),
                Some(_) => Err(EntryError::Form),
                None => named(provider, rest),
            },
        }
    }

    /// The provider that the entry is about, if it is about one.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::Id(provider, _) | Self::Name(provider, _) | Self::Group(Some(provider), _) => {
                Some(provider)
            }
            Self::Everybody | Self::Group(None, _) => None,
        }
    }

    /// Whether it can only be judged by somebody's organisations and teams at GitHub.
    #[must_use]
    pub fn needs_organisations(&self) -> bool {
        let spelled = |group: &str| group.starts_with("org:") || group.starts_with("team:");
        matches!(self, Self::Group(provider, group)
            if provider.as_deref().is_none_or(|provider| provider == GITHUB) && spelled(group))
    }

    /// Whether it is about this person, who is known here, or would be, as `name`.
    fn admits(&self, identity: &Identity, name: &str) -> bool {
        let here = |provider: &str| provider == identity.provider;
        match self {
            Self::Everybody => true,
            Self::Id(provider, id) => here(provider) && *id == identity.subject,
            Self::Name(provider, wanted) => {
                here(provider) && name.eq_ignore_ascii_case(&format!("{provider}:{wanted}"))
            }
            Self::Group(provider, group) => {
                let github = identity.provider == GITHUB;
                let same = |own: &String| own == group || github && own.eq_ignore_ascii_case(group);
                provider.as_deref().is_none_or(here) && identity.groups.iter().any(same)
            }
        }
    }
}

fn named(provider: &str, name: &str) -> Result<Entry, EntryError> {
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EntryError::Digits(name.to_owned(), provider.to_owned()));
    }
    if !super::is_label(name) {
        return Err(EntryError::Form);
    }
    Ok(Entry::Name(provider.to_owned(), name.to_owned()))
}

/// Whether an OpenID provider can be called so in the configuration, in URLs and in names of people.
#[must_use]
pub fn is_provider_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len())
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name != GITHUB
        && !RESERVED.contains(&name)
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("*"),
            Self::Id(provider, id) => write!(f, "{provider}:id:{id}"),
            Self::Name(provider, name) => write!(f, "{provider}:{name}"),
            Self::Group(None, group) => write!(f, "group:{group}"),
            Self::Group(Some(provider), group) => write!(f, "{provider}:group:{group}"),
        }
    }
}

/// A list of people: nobody, until somebody is listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Admission(Vec<Entry>);

impl Admission {
    /// Takes the entries.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether somebody is listed. `name` is what the person is called here: it was given at the first log-in, is never
    /// given to anybody else, and does not change when the person is called otherwise at the provider. So a name that is
    /// given up there and taken by a stranger does not let the stranger in.
    #[must_use]
    pub fn admits(&self, identity: &Identity, name: &str) -> bool {
        self.0.iter().any(|entry| entry.admits(identity, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(provider: &str, subject: &str, label: &str, groups: &[&str]) -> Identity {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Identity::new((provider, "https://i.test"), subject, Some(label), groups).unwrap()
    }

    fn list(entries: &[&str]) -> Admission {
        Admission::new(entries.iter().map(|entry| Entry::parse(entry).unwrap()).collect())
    }

    #[test]
    fn only_listed_people_come_in_and_an_empty_list_admits_nobody() {
        let octocat = person("github", "583231", "Octocat", &["org:GitHub", "team:github/cats"]);
        let ada = person("google", "1081", "ada@example.com", &["example.com"]);
        let table: [(&[&str], bool, bool); 13] = [
            (&[], false, false),
            (&["*"], true, true),
            (&["octocat"], true, false),
            (&["github:OCTOCAT"], true, false),
            (&["github:id:583231"], true, false),
            (&["github:id:58323"], false, false),
            (&["org:github"], true, false),
            (&["team:github/cats"], true, false),
            (&["team:github/dogs"], false, false),
            (&["google:ada@example.com"], false, true),
            (&["google:id:1081", "okta:id:583231"], false, true),
            (&["group:example.com"], false, true),
            (&["okta:group:example.com"], false, false),
        ];
        for (entries, first, second) in table {
            let admission = list(entries);
            let admits = |who: &Identity| admission.admits(who, &who.wanted_name().unwrap());
            assert_eq!((admits(&octocat), admits(&ada)), (first, second), "{entries:?}");
        }
    }

    #[test]
    fn a_name_that_changed_hands_lets_nobody_in() {
        let admission = list(&["octocat"]);
        let stranger = person("github", "999", "octocat", &[]);
        // The first octocat has the name here; the second is known by the id.
        assert!(!admission.admits(&stranger, &stranger.sure_name()));
        let renamed = person("github", "583231", "octopus", &[]);
        assert!(admission.admits(&renamed, "github:octocat"));
        // Nobody's login can pass for an id, nor for another provider's name.
        for posing in ["id:583231", "github:octocat"] {
            let posing = Identity::new(("github", "i"), "7", Some(posing), vec![]).unwrap();
            assert_eq!(posing.wanted_name(), None);
        }
    }

    #[test]
    fn entries_say_what_is_wrong_with_them() {
        for (text, error) in [
            ("", EntryError::Form),
            ("a b", EntryError::Form),
            ("github:", EntryError::Form),
            ("github:id:", EntryError::Form),
            ("github:role:x", EntryError::Form),
            ("583231", EntryError::Digits("583231".into(), "github".into())),
            ("okta:12", EntryError::Digits("12".into(), "okta".into())),
            ("org:a/b", EntryError::Provider("org".into())),
            ("team:a", EntryError::Provider("team".into())),
            ("Okta:x", EntryError::Provider("Okta".into())),
        ] {
            assert_eq!(Entry::parse(text), Err(error), "{text}");
        }
        for text in [
            "*",
            "github:octocat",
            "okta:id:00u1",
            "group:a b",
            "okta:group:/x/y",
            "github:group:org:acme",
        ] {
            assert_eq!(Entry::parse(text).unwrap().to_string(), text);
        }
        assert!(Entry::parse("org:acme").unwrap().needs_organisations());
        assert!(!Entry::parse("okta:group:org:x").unwrap().needs_organisations());
    }
}
