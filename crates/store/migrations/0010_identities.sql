-- Who people are at their identity providers. Issuer and subject never change; the label may.
CREATE TABLE identities (
    user     TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    provider TEXT    NOT NULL,
    issuer   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    label    TEXT,
    groups   TEXT    NOT NULL, -- a JSON array
    seen     INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER identities_added AFTER INSERT ON identities BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER identities_changed AFTER UPDATE OF provider, groups ON identities
    WHEN NEW.groups IS NOT OLD.groups OR NEW.provider IS NOT OLD.provider
    BEGIN UPDATE changes SET value = value + 1; END;

-- Log-ins that are on their way through a provider. Each counts once, in the browser that began it.
CREATE TABLE departures (
    state    BLOB    NOT NULL PRIMARY KEY,
    browser  BLOB    NOT NULL,
    provider TEXT    NOT NULL,
    next     TEXT    NOT NULL,
    expires  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX departures_expires ON departures (expires);

PRAGMA user_version = 10;
