-- Bodies of many records that were written together, compressed; `body` is empty then.
ALTER TABLE audit ADD COLUMN packed BLOB;

PRAGMA user_version = 30;
