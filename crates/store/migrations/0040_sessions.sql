-- The legacy sessions that may be used. Their ids hold everything else. A row with `ended` is of one that a client has ended:
-- it stays until no write that began before can bring the session back.
CREATE TABLE sessions (
    owner   TEXT    NOT NULL,
    nonce   BLOB    NOT NULL,
    created INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    ended   INTEGER,
    PRIMARY KEY (owner, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_ended ON sessions (ended) WHERE ended IS NOT NULL;
-- Up to when the sessions above are all that were opened.
CREATE TABLE sessions_known (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    complete_to INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 40;
