-- Access tokens that clients got in exchange for others' (RFC 8693). They belong to the grant of the token that they were
-- made from, and end with it; they end with the client that made them, too.
CREATE TABLE exchanged (
    jti     TEXT    NOT NULL PRIMARY KEY,
    client  TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX exchanged_client ON exchanged (client);
CREATE INDEX exchanged_expires ON exchanged (expires);
CREATE TRIGGER exchanged_of_client AFTER DELETE ON clients BEGIN
    INSERT OR IGNORE INTO revoked_tokens (jti, expires) SELECT jti, expires FROM exchanged WHERE client = OLD.id;
    DELETE FROM exchanged WHERE client = OLD.id;
END;

PRAGMA user_version = 24;
