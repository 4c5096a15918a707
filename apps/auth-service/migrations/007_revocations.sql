-- Up Migration
-- When the last access token of the session expires. Those from before this column live for a day at most.
ALTER TABLE auth.sessions ADD COLUMN token_expires_at timestamptz NOT NULL DEFAULT now() + interval '1 day';

-- Sessions that ended while access tokens of them live. Whoever verifies offline must hear of them.
CREATE TABLE auth.revocations (
  session_id uuid PRIMARY KEY,
  expires_at timestamptz NOT NULL,
  -- A reader that keeps its snapshot finds just what has been committed since, in whatever order that was.
  xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE INDEX revocations_by_xid ON auth.revocations (xid);

CREATE TRIGGER revocations_changed AFTER INSERT ON auth.revocations
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change();

-- Triggers, so that no session ends unheard: not by an operator's SQL, nor together with its account.
CREATE FUNCTION auth.revoke_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO auth.revocations (session_id, expires_at) VALUES (OLD.id, OLD.token_expires_at) ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;

-- Five minutes more, for verifiers whose clock is behind.
CREATE TRIGGER session_revoked AFTER UPDATE OF revoked_at ON auth.sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND OLD.token_expires_at > now() - interval '5 minutes')
  EXECUTE FUNCTION auth.revoke_session();
CREATE TRIGGER session_deleted AFTER DELETE ON auth.sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND OLD.token_expires_at > now() - interval '5 minutes')
  EXECUTE FUNCTION auth.revoke_session();

CREATE FUNCTION auth.end_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- In the order in which everybody takes sessions, so that two never wait for each other.
  PERFORM FROM auth.sessions WHERE user_id = NEW.id AND revoked_at IS NULL ORDER BY id FOR UPDATE;
  UPDATE auth.sessions SET revoked_at = now() WHERE user_id = NEW.id AND revoked_at IS NULL;
  RETURN NULL;
END
$$;

CREATE TRIGGER user_disabled AFTER UPDATE OF disabled_at ON auth.users FOR EACH ROW
  WHEN (OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL)
  EXECUTE FUNCTION auth.end_sessions();

-- Down Migration
DROP TRIGGER user_disabled ON auth.users;
DROP TRIGGER session_deleted ON auth.sessions;
DROP TRIGGER session_revoked ON auth.sessions;
DROP FUNCTION auth.end_sessions;
DROP FUNCTION auth.revoke_session;
DROP TABLE auth.revocations;
ALTER TABLE auth.sessions DROP COLUMN token_expires_at;
