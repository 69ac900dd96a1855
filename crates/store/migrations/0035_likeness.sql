-- What registrations are compared by: their metadata, loopback redirect URIs without their ports, which programs choose anew
-- each time. Absent in rows that are older than this.
ALTER TABLE clients ADD COLUMN likeness TEXT;

PRAGMA user_version = 35;
