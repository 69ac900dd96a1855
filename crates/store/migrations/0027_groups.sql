-- The groups of local people, as the operator names them; those of others are with their identity.
CREATE TABLE user_groups (
    user   TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    groups TEXT NOT NULL -- a JSON array
) STRICT, WITHOUT ROWID;
CREATE TRIGGER user_groups_added AFTER INSERT ON user_groups BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER user_groups_changed AFTER UPDATE ON user_groups BEGIN UPDATE changes SET value = value + 1; END;

PRAGMA user_version = 27;
