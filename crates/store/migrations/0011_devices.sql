-- Devices that wait for a person's yes (RFC 8628).
CREATE TABLE devices (
    device    BLOB    NOT NULL PRIMARY KEY,
    user_code BLOB    NOT NULL UNIQUE,
    client    TEXT    NOT NULL,
    resource  TEXT    NOT NULL,
    scopes    TEXT    NOT NULL,
    expires   INTEGER NOT NULL,
    polled    INTEGER,
    interval  INTEGER NOT NULL, -- milliseconds
    answer    TEXT    NOT NULL CHECK (answer IN ('none', 'allowed', 'denied', 'taken')),
    grant_id  TEXT    REFERENCES grants (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_expires ON devices (expires);
CREATE INDEX devices_grant ON devices (grant_id);

PRAGMA user_version = 11;
