-- What servers call the sessions that they have for clients' sessions: sealed, and bound to the session, the server and its
-- configuration.
CREATE TABLE server_sessions (
    owner  TEXT NOT NULL,
    nonce  BLOB NOT NULL,
    server TEXT NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (owner, nonce, server),
    FOREIGN KEY (owner, nonce) REFERENCES sessions (owner, nonce) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What the client has asked for that lasts: sealed.
ALTER TABLE sessions ADD COLUMN wishes TEXT;

PRAGMA user_version = 43;
