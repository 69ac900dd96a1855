-- The token that an exchanged one was made from: with it ends what came of it, and what came of that.
ALTER TABLE exchanged ADD COLUMN origin TEXT;
CREATE INDEX exchanged_origin ON exchanged (origin);

PRAGMA user_version = 36;
