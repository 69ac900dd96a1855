//! Who calls.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use crate::{ClientId, GrantId, Resource, ScopeSet, Timestamp, TokenId, UserId};

/// Who calls: a person through a client. It is made by a token verifier (or by `auth.mode: none` for the local user)
/// and handed on; nothing below the door reads a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The person.
    pub user: UserId,
    /// The OAuth client through which the person calls.
    pub client: ClientId,
    /// The grant that the token was issued under.
    pub grant: GrantId,
    /// The token's `jti`.
    pub token: TokenId,
    /// What the token allows.
    pub scopes: ScopeSet,
    /// The resource that the token is for.
    pub audience: Resource,
    /// When the token ends.
    pub expires: Timestamp,
}

impl Principal {
    /// What sessions, parked calls and sealed state are bound to: the person and the client, not the token, so that a
    /// refreshed token goes on with the same session.
    #[must_use]
    pub fn key(&self) -> PrincipalKey {
        let (user, client) = (self.user.as_str(), self.client.as_str());
        // The length makes the pair unambiguous: no user and client can be cut differently.
        let length = user.len().to_string();
        PrincipalKey::new([&*length, ":", user, ":", client].concat().into())
    }
}

/// A person and a client as one value that can be compared and kept as a map key. Its hash is made with it: maps are asked
/// for the same key several times in a request.
#[derive(Clone, Debug)]
pub struct PrincipalKey {
    text: Arc<str>,
    hash: u64,
}

/// Names are chosen by strangers, who must not know which of them collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl PrincipalKey {
    fn new(text: Arc<str>) -> Self {
        let hash = HASHER.hash_one(&*text);
        Self { text, hash }
    }

    /// The gateway itself: it fetches catalogues before anyone calls.
    #[must_use]
    pub fn gateway() -> Self {
        Self::new("0::gateway".into())
    }

    /// Reads what [`Self::as_str`] has given; `None` for what it never gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (length, rest) = text.split_once(':')?;
        let own = length.parse::<usize>().ok().filter(|n| n.to_string() == length)?;
        rest.get(own..)?.starts_with(':').then(|| Self::new(text.into()))
    }

    /// The person; nobody for the gateway itself.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        let (length, rest) = self.text.split_once(':')?;
        let user = rest.get(..length.parse().ok()?)?;
        (!user.is_empty()).then(|| UserId::new(user))
    }

    /// The key's text, for sealing into state.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for PrincipalKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Eq for PrincipalKey {}

impl Hash for PrincipalKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for PrincipalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uc_07_a_key_names_its_person_and_no_other() {
        for (user, client) in [
            ("ada", "c"),
            ("a:b", "7:x"),
            ("1", ":"),
            ("ü", "https://c.test/x"),
        ] {
            let principal = Principal {
                user: UserId::new(user),
                client: ClientId::new(client),
                grant: GrantId::new("g"),
                token: TokenId::new("t"),
                scopes: ScopeSet::parse(""),
                audience: Resource::parse("https://g.test/mcp").unwrap(),
                expires: Timestamp::EPOCH,
            };
            assert_eq!(principal.key().user(), Some(UserId::new(user)));
        }
        assert_eq!(PrincipalKey::gateway().user(), None);
    }
}
