-- The thumbprint of the key that whoever shows a code or a refresh token has to hold (RFC 9449).
ALTER TABLE codes ADD COLUMN key TEXT;
ALTER TABLE refresh_tokens ADD COLUMN key TEXT;

PRAGMA user_version = 16;
