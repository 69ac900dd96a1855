-- Times are milliseconds since the Unix epoch. Digests are keyed hashes of bearer secrets, 32 bytes.

CREATE TABLE users (
    id       TEXT    NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL,
    name_key TEXT    NOT NULL UNIQUE, -- the name without regard to case
    admin    INTEGER NOT NULL,
    password TEXT    NOT NULL,
    created  INTEGER NOT NULL
) STRICT;

CREATE TABLE setup (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    digest  BLOB    NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE clients (
    id            TEXT    NOT NULL PRIMARY KEY,
    auth_method   TEXT    NOT NULL,
    secret        BLOB,
    redirect_uris TEXT    NOT NULL, -- a JSON array
    scopes        TEXT    NOT NULL,
    metadata      TEXT    NOT NULL, -- a JSON object
    registered    INTEGER NOT NULL,
    last_used     INTEGER
) STRICT;
CREATE INDEX clients_unused ON clients (registered) WHERE last_used IS NULL;

CREATE TABLE browser_sessions (
    digest  BLOB    NOT NULL PRIMARY KEY,
    user    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX browser_sessions_user ON browser_sessions (user);
CREATE INDEX browser_sessions_expires ON browser_sessions (expires);

CREATE TABLE consents (
    user     TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client   TEXT    NOT NULL,
    resource TEXT    NOT NULL,
    scopes   TEXT    NOT NULL,
    redirect TEXT    NOT NULL,
    given    INTEGER NOT NULL,
    PRIMARY KEY (user, client, resource)
) STRICT, WITHOUT ROWID;

-- No reference to the user: a revoked grant outlives its person, until its last access token has ended.
CREATE TABLE grants (
    id       TEXT    NOT NULL PRIMARY KEY,
    user     TEXT    NOT NULL,
    client   TEXT    NOT NULL,
    resource TEXT    NOT NULL,
    scopes   TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    revoked  INTEGER
) STRICT;
CREATE INDEX grants_user ON grants (user);
CREATE INDEX grants_client ON grants (client);
CREATE INDEX grants_expires ON grants (expires);
CREATE INDEX grants_revoked ON grants (revoked) WHERE revoked IS NOT NULL;

CREATE TABLE codes (
    digest       BLOB    NOT NULL PRIMARY KEY,
    grant_id     TEXT    NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri TEXT    NOT NULL,
    challenge    TEXT    NOT NULL,
    expires      INTEGER NOT NULL,
    taken        INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_grant ON codes (grant_id);
CREATE INDEX codes_expires ON codes (expires);

CREATE TABLE refresh_tokens (
    digest    BLOB    NOT NULL PRIMARY KEY,
    grant_id  TEXT    NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    issued    INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    rotated   INTEGER,
    successor BLOB,
    CHECK ((rotated IS NULL) = (successor IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires);

CREATE TABLE signing_keys (
    kid     TEXT    NOT NULL PRIMARY KEY,
    sealed  BLOB    NOT NULL,
    created INTEGER NOT NULL,
    retired INTEGER
) STRICT;

CREATE TABLE servers (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    seq  INTEGER NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL,
    prev BLOB    NOT NULL,
    hash BLOB    NOT NULL,
    mac  BLOB    NOT NULL,
    body TEXT    NOT NULL
) STRICT;

-- What a running gateway has to take notice of when another process writes it. Triggers count, so that no writer can forget.
CREATE TABLE changes (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO changes (one, value) VALUES (1, 0);

CREATE TRIGGER servers_added AFTER INSERT ON servers BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER servers_changed AFTER UPDATE ON servers BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER servers_removed AFTER DELETE ON servers BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER keys_added AFTER INSERT ON signing_keys BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER keys_changed AFTER UPDATE ON signing_keys BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER keys_removed AFTER DELETE ON signing_keys BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER users_added AFTER INSERT ON users BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER users_changed AFTER UPDATE ON users BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER users_removed AFTER DELETE ON users BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER grants_revoked_now AFTER UPDATE OF revoked ON grants WHEN NEW.revoked IS NOT OLD.revoked
    BEGIN UPDATE changes SET value = value + 1; END;

PRAGMA user_version = 1;
