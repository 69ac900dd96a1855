-- From here on `mac` in `audit` holds 32 bytes for the whole row, that of its last record, which vouches for those before it; in
-- rows that were written before it holds 32 bytes for each record. Nothing is written anew: an older program would take the
-- new rows for changed ones, and does not open this schema.
PRAGMA user_version = 42;
