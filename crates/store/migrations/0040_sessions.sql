-- The legacy sessions that may be used. Their ids hold everything else. A row with `ended` is of one that a client has ended: it
-- stays until no process that has it in memory can bring it back.
CREATE TABLE sessions (
    owner   TEXT    NOT NULL,
    nonce   BLOB    NOT NULL,
    created INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    ended   INTEGER,
    PRIMARY KEY (owner, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_used ON sessions (used) WHERE ended IS NULL;
CREATE INDEX sessions_ended ON sessions (ended) WHERE ended IS NOT NULL;

PRAGMA user_version = 40;
