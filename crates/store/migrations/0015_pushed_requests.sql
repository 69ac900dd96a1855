-- Authorization requests that clients have pushed (RFC 9126), under the hashes of their names, until they end.
CREATE TABLE pushed_requests (
    digest   BLOB    NOT NULL PRIMARY KEY,
    client   TEXT    NOT NULL,
    params   TEXT    NOT NULL, -- application/x-www-form-urlencoded, without credentials
    pushed   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    opened   INTEGER NOT NULL DEFAULT 0,
    answered INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_expires ON pushed_requests (expires);

PRAGMA user_version = 15;
