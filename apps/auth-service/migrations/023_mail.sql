-- Up Migration
-- Mails that are to be sent. Any replica leases some, sends them and deletes their rows.
CREATE TABLE auth.mail_queue (
  -- A UUIDv7, and the mail's Message-ID.
  id uuid PRIMARY KEY,
  -- No foreign key: a mail may be about an account that is deleted meanwhile.
  account_id uuid,
  template text NOT NULL,
  -- The recipient and the values of the template, sealed with AES-256-GCM by the secret named beside it.
  sealed_payload bytea NOT NULL,
  secret_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT now(),
  -- Until then the replica that has begun the last attempt has it.
  leased_until timestamptz,
  -- An attempt that fails later than this is the last one.
  retry_until timestamptz NOT NULL DEFAULT now() + interval '1 day',
  given_up_at timestamptz,
  last_error text
);
CREATE INDEX mail_queue_due ON auth.mail_queue (next_at) WHERE given_up_at IS NULL;
CREATE INDEX mail_queue_given_up ON auth.mail_queue (given_up_at) WHERE given_up_at IS NOT NULL;

-- Wakes the replicas.
CREATE TRIGGER mail_queue_changed AFTER INSERT OR UPDATE OF retry_until ON auth.mail_queue
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change();

-- Roles that serve go on doing so, also before the next `latchkey migrate --grant-to`.
DO $$
DECLARE
  grantee regrole;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.sessions'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.mail_queue TO %s', grantee);
  END LOOP;
END
$$;

-- Down Migration
DROP TABLE auth.mail_queue;
