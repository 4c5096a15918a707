-- Up Migration
CREATE TABLE auth.sessions (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  -- Part of what a refresh token's MAC covers: without this row, the secret alone makes no token.
  salt bytea NOT NULL,
  -- The refresh token of this generation is the current one.
  generation integer NOT NULL DEFAULT 0,
  rotated_at timestamptz NOT NULL DEFAULT now(),
  -- Idle limit, moved by every refresh, and absolute limit.
  expires_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  revoked_at timestamptz,
  user_agent text,
  address inet,
  created_at timestamptz NOT NULL DEFAULT now()
)
-- Room on the page, and no index on what a refresh changes: each refresh is a HOT update.
WITH (fillfactor = 70);

CREATE INDEX sessions_by_user ON auth.sessions (user_id);

-- Down Migration
DROP TABLE auth.sessions;
