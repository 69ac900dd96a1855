-- A key is the next one until it signs, and stays after it has stopped until the last token that it signed has ended.
ALTER TABLE signing_keys ADD COLUMN alg     TEXT    NOT NULL DEFAULT 'ES256';
ALTER TABLE signing_keys ADD COLUMN signs   INTEGER;                           -- since when; without it, it is the next one
ALTER TABLE signing_keys ADD COLUMN longest INTEGER NOT NULL DEFAULT 86400000; -- the longest life of what clients get
ALTER TABLE signing_keys ADD COLUMN until   INTEGER NOT NULL DEFAULT 0;        -- when the last that was told of here ends

UPDATE signing_keys SET
    signs = created,
    until = max(
        coalesce((SELECT max(expires) FROM grants WHERE client = 'sallyport-cli'), 0),
        coalesce(retired, 0) + longest
    );

-- Running gateways look at the ring when its order changes, not with every token.
DROP TRIGGER keys_changed;
CREATE TRIGGER keys_changed AFTER UPDATE OF signs, retired ON signing_keys
    BEGIN UPDATE changes SET value = value + 1; END;

PRAGMA user_version = 5;
