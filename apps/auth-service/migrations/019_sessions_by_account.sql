-- Up Migration
-- Refresh tokens name the account, and what is done with a session finds it by both: in a database that is distributed by
-- account, every statement then stays on one node. The primary key follows when no token without an account is left.
-- On a large table make this index beforehand, with CREATE UNIQUE INDEX CONCURRENTLY: here sign-ins and refreshes wait meanwhile,
-- seconds per million sessions.
DO $$
BEGIN
  -- What an interrupted CREATE INDEX CONCURRENTLY leaves behind.
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('auth.sessions_by_account') AND NOT indisvalid) THEN
    DROP INDEX auth.sessions_by_account;
  END IF;
END
$$;
CREATE UNIQUE INDEX IF NOT EXISTS sessions_by_account ON auth.sessions (user_id, id);
DROP INDEX auth.sessions_by_user;

-- As before, but it changes sessions by account and id.
CREATE OR REPLACE FUNCTION auth.end_oldest_sessions(account uuid, started uuid, kept integer, most integer)
RETURNS TABLE (sid uuid, token_expires_at timestamptz) LANGUAGE plpgsql AS $$
DECLARE
  newest uuid;
BEGIN
  SELECT s.id INTO newest FROM auth.sessions s
  WHERE s.user_id BETWEEN account AND account AND s.revoked_at IS NULL AND s.expires_at > now() AND s.id <> started
  ORDER BY s.user_id DESC, s.id DESC OFFSET kept - 1 LIMIT 1;
  IF newest IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
    WITH chosen AS (
      SELECT s.id FROM auth.sessions s
      WHERE s.user_id BETWEEN account AND account AND s.revoked_at IS NULL AND s.expires_at > now()
        AND s.id <= newest AND s.id <> started
      -- In the order in which everybody takes sessions, so that two never wait for each other.
      ORDER BY s.user_id, s.id LIMIT most FOR UPDATE
    )
    UPDATE auth.sessions s SET revoked_at = now() FROM chosen
    WHERE s.user_id = account AND s.id = chosen.id AND s.revoked_at IS NULL AND s.expires_at > now()
    RETURNING s.id, s.token_expires_at;
END
$$;

-- Down Migration
-- The function stays: it works with both keys.
CREATE INDEX sessions_by_user ON auth.sessions (user_id);
DROP INDEX auth.sessions_by_account;
