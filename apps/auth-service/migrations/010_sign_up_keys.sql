-- Up Migration
-- What clients sent as Idempotency-Key: a sign-up that comes again with it is answered like the first time. One row an
-- account, for a day, so nobody can meet the key of somebody else's.
CREATE TABLE auth.sign_up_keys (
  user_id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
  -- SHA-256 of the key.
  key_hash bytea NOT NULL,
  -- The session that the sign-up began. No foreign key: that would need an index, and a session that is gone says enough.
  session_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- For sweeping old rows away.
CREATE INDEX sign_up_keys_by_time ON auth.sign_up_keys (created_at);

-- Down Migration
DROP TABLE auth.sign_up_keys;
