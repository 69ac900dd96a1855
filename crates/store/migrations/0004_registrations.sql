-- The tokens with which clients look at, change and end their own registrations (RFC 7592). Without `expires` for ever.
CREATE TABLE registration_tokens (
    client  TEXT    NOT NULL PRIMARY KEY REFERENCES clients (id) ON DELETE CASCADE,
    digest  BLOB    NOT NULL,
    expires INTEGER
) STRICT, WITHOUT ROWID;

-- Who has registered the client: `self`, or `operator`.
ALTER TABLE clients ADD COLUMN maker TEXT NOT NULL DEFAULT 'self';

-- A client of the operator may act in its own name, and profiles say which of them may.
CREATE TRIGGER clients_added AFTER INSERT ON clients WHEN NEW.maker = 'operator'
    BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER clients_removed AFTER DELETE ON clients WHEN OLD.maker = 'operator'
    BEGIN UPDATE changes SET value = value + 1; END;

PRAGMA user_version = 4;
