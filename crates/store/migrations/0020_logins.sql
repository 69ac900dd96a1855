-- What became of each log-in. Nothing else refers to it, and losing it loses no right.

CREATE TABLE logins (
    id TEXT PRIMARY KEY,
    seen INTEGER NOT NULL,
    named INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX logins_seen ON logins (named, seen);

PRAGMA user_version = 20;
