-- Access tokens that were revoked one by one, until they would have ended (RFC 7009).
CREATE TABLE revoked_tokens (
    jti     TEXT    NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_tokens_expires ON revoked_tokens (expires);
CREATE TRIGGER tokens_revoked AFTER INSERT ON revoked_tokens BEGIN UPDATE changes SET value = value + 1; END;

-- Statements that clients have signed about themselves (RFC 7523): each counts once, for as long as it is good.
CREATE TABLE assertions (
    client  TEXT    NOT NULL,
    digest  BLOB    NOT NULL, -- of its `jti`
    expires INTEGER NOT NULL,
    PRIMARY KEY (client, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX assertions_expires ON assertions (expires);

PRAGMA user_version = 3;
