-- Accounts at servers: what a person, or the operator for all, may do there. Tokens and secrets are sealed, each bound to
-- its row.
CREATE TABLE accounts (
    id       TEXT    NOT NULL PRIMARY KEY,
    server   TEXT    NOT NULL,
    owner    TEXT    NOT NULL, -- a user's id; empty for the one that all share
    name     TEXT    NOT NULL,
    issuer   TEXT    NOT NULL, -- the authorization server that gave the tokens, and gets them back
    resource TEXT    NOT NULL, -- what they are for
    client   TEXT    NOT NULL,
    scopes   TEXT    NOT NULL,
    missing  TEXT    NOT NULL, -- what is asked for besides at the next log-in
    problem  TEXT,             -- why the person has to log in again; nothing while the account is good
    in_use   INTEGER NOT NULL, -- whether calls use it, of several
    due      INTEGER NOT NULL, -- when the access token is to be replaced
    sealed   BLOB    NOT NULL,
    version  INTEGER NOT NULL, -- counts what was sealed
    created  INTEGER NOT NULL,
    changed  INTEGER NOT NULL,
    UNIQUE (server, owner, name)
) STRICT;
CREATE TRIGGER accounts_added AFTER INSERT ON accounts BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER accounts_changed AFTER UPDATE OF problem, in_use, issuer ON accounts
    BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER accounts_removed AFTER DELETE ON accounts BEGIN UPDATE changes SET value = value + 1; END;
CREATE TRIGGER accounts_of_user AFTER DELETE ON users BEGIN DELETE FROM accounts WHERE owner = OLD.id; END;

-- Who we are at authorization servers that have registered us (RFC 7591). What one gave is never shown to another.
CREATE TABLE server_clients (
    issuer       TEXT    NOT NULL,
    redirect_uri TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    method       TEXT    NOT NULL,
    sealed       BLOB,    -- the secret
    expires      INTEGER, -- when it ends
    PRIMARY KEY (issuer, redirect_uri)
) STRICT, WITHOUT ROWID;

-- Log-ins at servers that are on their way. Each counts once, for the person and in the browser that began it.
CREATE TABLE account_departures (
    state   BLOB    NOT NULL PRIMARY KEY,
    browser BLOB    NOT NULL,
    user    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    plan    TEXT    NOT NULL, -- a JSON object without secrets
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX account_departures_expires ON account_departures (expires);

PRAGMA user_version = 31;
