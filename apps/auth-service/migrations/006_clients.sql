-- Up Migration
-- Services that call with credentials of their own (RFC 6749 §4.4).
CREATE TABLE auth.clients (
  id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'),
  -- SHA-256: a secret of 256 random bits cannot be guessed, so a slow hash would protect nothing.
  secret_hash bytea NOT NULL,
  -- Still good for a while after a rotation.
  previous_secret_hash bytea,
  previous_secret_until timestamptz,
  scopes text[] NOT NULL,
  disabled_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Down Migration
DROP TABLE auth.clients;
