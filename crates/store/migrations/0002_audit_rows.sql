-- A busy trail writes thousands of records a second: a row holds all that were written together, each field one after the
-- other. `seq` is the number of the row's last record, `prev` the hash before its first.
CREATE TABLE records (
    seq  INTEGER NOT NULL PRIMARY KEY,
    prev BLOB    NOT NULL,
    at   BLOB    NOT NULL, -- eight bytes each, most significant first
    hash BLOB    NOT NULL, -- 32 bytes each
    mac  BLOB    NOT NULL, -- 32 bytes each
    body TEXT    NOT NULL  -- a line each, without the last line's end
) STRICT;

INSERT INTO records (seq, prev, at, hash, mac, body)
    SELECT seq, prev, unhex(printf('%016x', at)), hash, mac, body FROM audit;

DROP TABLE audit;
ALTER TABLE records RENAME TO audit;

PRAGMA user_version = 2;
