//! The groups of local people. Those of people of identity providers are with their identities.

use sallyport_core::UserId;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// What became of naming somebody's groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupsSet {
    /// They are as they were named.
    Done,
    /// There is nobody of that name.
    NoUser,
    /// The person's identity provider says the groups.
    OfProvider,
}

impl Store {
    /// Puts the local user of that name, without regard to case, into these groups and no others.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn set_groups(&self, name: &str, groups: &[String]) -> Result<GroupsSet, StoreError> {
        let Some(user) = self.user_by_name(name).await? else {
            return Ok(GroupsSet::NoUser);
        };
        let groups = serde_json::to_string(groups).map_err(|_| StoreError::Corrupt { what: "groups" })?;
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO user_groups (user, groups) SELECT id, ?2 FROM users WHERE id = ?1 \
             AND NOT EXISTS (SELECT 1 FROM identities WHERE identities.user = users.id) \
             ON CONFLICT (user) DO UPDATE SET groups = excluded.groups",
        )
        .bind(user.id.as_str())
        .bind(groups)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(match done.rows_affected() {
            0 => GroupsSet::OfProvider,
            _ => GroupsSet::Done,
        })
    }

    /// The groups of everybody local who is in one.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn groups(&self) -> Result<Vec<(UserId, Vec<String>)>, StoreError> {
        let rows = sqlx::query("SELECT user, groups FROM user_groups")
            .fetch_all(self.reader())
            .await?;
        rows.iter()
            .map(|row| Ok((UserId::new(row.text("user")?), row.json("groups")?)))
            .collect()
    }
}
