-- Up Migration
-- A session begins from a proof of the account's credentials: the version is raised by every change of them (not by a hash
-- that is renewed), and a session of an older version does not begin.
ALTER TABLE auth.users ADD COLUMN credential_version integer NOT NULL DEFAULT 1;

ALTER TABLE auth.sessions
  ADD COLUMN credential_version integer NOT NULL DEFAULT 1,
  -- How it was proved (RFC 8176), and when; NULL: when the session began.
  ADD COLUMN amr text[] NOT NULL DEFAULT '{pwd}',
  ADD COLUMN auth_time timestamptz,
  -- When a refresh was last recorded as an event: one a minute at most, so that a caller cannot fill the audit trail.
  ADD COLUMN refresh_recorded_at timestamptz;

-- Who did it: `account:ID`, `client:ID`, `operator` (the command line) or `service` (by itself); NULL: nobody known.
ALTER TABLE auth.audit_events ADD COLUMN actor text;

-- Down Migration
ALTER TABLE auth.audit_events DROP COLUMN actor;
ALTER TABLE auth.sessions
  DROP COLUMN credential_version, DROP COLUMN amr, DROP COLUMN auth_time, DROP COLUMN refresh_recorded_at;
ALTER TABLE auth.users DROP COLUMN credential_version;
