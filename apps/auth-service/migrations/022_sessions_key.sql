-- Up Migration
-- Sessions are keyed by account and id, as refresh tokens name them; those that name no account find theirs by a hash index, which has
-- no order: with one, PostgreSQL may walk all sessions by id for those of an account.
-- On a large table make this index beforehand, with CREATE INDEX CONCURRENTLY: here sign-ins and refreshes wait meanwhile, seconds
-- per million sessions.
DO $$
BEGIN
  -- What an interrupted CREATE INDEX CONCURRENTLY leaves behind.
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('auth.sessions_by_id') AND NOT indisvalid) THEN
    DROP INDEX auth.sessions_by_id;
  END IF;
END
$$;
CREATE INDEX IF NOT EXISTS sessions_by_id ON auth.sessions USING hash (id);
ALTER TABLE auth.sessions DROP CONSTRAINT sessions_pkey;
ALTER TABLE auth.sessions ADD CONSTRAINT sessions_pkey PRIMARY KEY USING INDEX sessions_by_account;

-- As the function of the same name, but it names the draft that tells of the ended sessions, and one account, not a range.
CREATE FUNCTION auth.end_oldest_sessions(account uuid, started uuid, kept integer, most integer, draft uuid)
RETURNS TABLE (id uuid, token_expires_at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  newest uuid;
BEGIN
  SELECT s.id INTO newest FROM auth.sessions s
  WHERE s.user_id = account AND s.revoked_at IS NULL AND s.expires_at > now() AND s.id <> started
  ORDER BY s.id DESC OFFSET kept - 1 LIMIT 1;
  IF newest IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
    WITH chosen AS (
      SELECT s.id FROM auth.sessions s
      WHERE s.user_id = account AND s.revoked_at IS NULL AND s.expires_at > now()
        AND s.id <= newest AND s.id <> started
      -- In the order in which everybody takes sessions, so that two never wait for each other.
      ORDER BY s.id LIMIT most FOR UPDATE
    )
    UPDATE auth.sessions s SET revoked_at = now(), draft = end_oldest_sessions.draft FROM chosen
    WHERE s.user_id = account AND s.id = chosen.id AND s.revoked_at IS NULL AND s.expires_at > now()
    RETURNING s.id, s.token_expires_at;
END
$$;

-- Down Migration
DROP FUNCTION auth.end_oldest_sessions(uuid, uuid, integer, integer, uuid);
CREATE UNIQUE INDEX sessions_by_account ON auth.sessions (user_id, id);
ALTER TABLE auth.sessions DROP CONSTRAINT sessions_pkey;
ALTER TABLE auth.sessions ADD PRIMARY KEY (id);
DROP INDEX auth.sessions_by_id;
