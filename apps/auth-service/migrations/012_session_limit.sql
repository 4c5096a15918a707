-- Up Migration
-- An account's live sessions in order, for pages of them and for ending the oldest. It leaves out the ended ones, which an
-- account that signs in and out again and again has by the hundred thousand. On a large table make it beforehand, with
-- CREATE INDEX CONCURRENTLY: this one lets sign-ins and refreshes wait meanwhile, seconds per million sessions.
CREATE INDEX IF NOT EXISTS sessions_live_by_user ON auth.sessions (user_id, id) WHERE revoked_at IS NULL;

-- Ends the oldest live sessions of an account beyond the newest `kept`, of which `started` is one whatever its id; at most
-- `most` at once. Volatile, so that it sees what was committed while the statement that calls it waited for the account.
--
-- The account is given as a range, and leads the order: only the index above has that order. With `=` the order is that of
-- the primary key too, and for an account that has many sessions PostgreSQL may walk that, past everybody else's.
CREATE FUNCTION auth.end_oldest_sessions(account uuid, started uuid, kept integer, most integer) RETURNS TABLE (sid uuid, token_expires_at timestamptz)
LANGUAGE plpgsql AS $$
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
    WHERE s.id = chosen.id AND s.revoked_at IS NULL AND s.expires_at > now() RETURNING s.id, s.token_expires_at;
END
$$;

-- Down Migration
DROP FUNCTION auth.end_oldest_sessions;
DROP INDEX auth.sessions_live_by_user;
