-- Keys that programs use in a person's name. The grant says whose one is, for what, until when, and whether it was revoked.
CREATE TABLE api_keys (
    digest   BLOB NOT NULL PRIMARY KEY, -- a keyed hash, 32 bytes
    grant_id TEXT NOT NULL UNIQUE REFERENCES grants (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TRIGGER api_keys_added AFTER INSERT ON api_keys BEGIN UPDATE changes SET value = value + 1; END;

PRAGMA user_version = 6;
