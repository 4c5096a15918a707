-- Up Migration
-- What happened, for the operator. Never a password, token or hash, nor a name that no account has: people type
-- passwords there. Rows outlive the accounts that they speak of.
CREATE TABLE auth.audit_events (
  id uuid PRIMARY KEY,
  happened_at timestamptz NOT NULL DEFAULT now(),
  event text NOT NULL,
  user_id uuid,
  session_id uuid,
  client_id text,
  details jsonb,
  request_id text,
  address inet,
  user_agent text
);

CREATE INDEX audit_events_by_user ON auth.audit_events (user_id, id) WHERE user_id IS NOT NULL;

-- For sweeping old rows away: tiny, because rows come in that order.
CREATE INDEX audit_events_by_time ON auth.audit_events USING brin (happened_at);

-- Down Migration
DROP TABLE auth.audit_events;
