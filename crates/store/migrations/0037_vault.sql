-- What every keyed hash of this store is made under, sealed under the master key: it stays when that key changes.
CREATE TABLE vault_root (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    sealed BLOB    NOT NULL
) STRICT;

-- The master keys by their ids: those that may seal, and what is left of those that were given up.
CREATE TABLE vault_keys (
    id     BLOB    NOT NULL PRIMARY KEY,
    seals  INTEGER NOT NULL,
    sealed BLOB,    -- what opens the states that clients carry
    until  INTEGER  -- when the last of them has ended
) STRICT, WITHOUT ROWID;

-- Whoever still works with a key that was given up cannot write what nobody could read. The key of a sealed value is named
-- in its bytes 2 to 9.
CREATE TRIGGER vault_root_added BEFORE INSERT ON vault_root
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER vault_root_sealed BEFORE UPDATE OF sealed ON vault_root
    WHEN NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
        AND EXISTS (SELECT 1 FROM vault_keys)
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER vault_keys_sealed BEFORE UPDATE OF sealed ON vault_keys
    WHEN NEW.sealed IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER signing_keys_added BEFORE INSERT ON signing_keys
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER signing_keys_sealed BEFORE UPDATE OF sealed ON signing_keys
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER servers_sealed_new BEFORE INSERT ON servers
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER servers_sealed BEFORE UPDATE OF sealed ON servers
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER accounts_sealed_new BEFORE INSERT ON accounts
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER accounts_sealed BEFORE UPDATE OF sealed ON accounts
    WHEN EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER server_clients_sealed_new BEFORE INSERT ON server_clients
    WHEN NEW.sealed IS NOT NULL AND EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;
CREATE TRIGGER server_clients_sealed BEFORE UPDATE OF sealed ON server_clients
    WHEN NEW.sealed IS NOT NULL AND EXISTS (SELECT 1 FROM vault_keys)
        AND NOT EXISTS (SELECT 1 FROM vault_keys WHERE seals = 1 AND id = substr(NEW.sealed, 2, 8))
    BEGIN SELECT RAISE(ABORT, 'sealed under a master key that is not in use'); END;

PRAGMA user_version = 37;
