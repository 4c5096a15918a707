-- Up Migration
-- The verified e-mail address of an account, as typed. `auth.identifiers` has it in lower case, of the kind `email`: addresses are
-- unique among verified ones only.
ALTER TABLE auth.users
  ADD COLUMN email text,
  -- When its owner was last told of a sign-in from a place that was new.
  ADD COLUMN sign_in_noticed_at timestamptz;

-- What the tokens of links in mails are for. One lives per account and purpose; a new one replaces it.
CREATE TABLE auth.one_time_tokens (
  -- Of a sign-up that is not confirmed yet: the account that it will be.
  account_id uuid NOT NULL,
  purpose text NOT NULL,
  -- SHA-256 of the token.
  token_hash bytea NOT NULL,
  -- The address that the link was mailed to, when its use proves it.
  email text,
  -- What the account will be made of.
  sign_up jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  PRIMARY KEY (account_id, purpose)
);
CREATE INDEX one_time_tokens_by_expiry ON auth.one_time_tokens (expires_at);

-- Events of which the owner of the account is to be told. Their mails are queued from here, by any replica, once.
CREATE TABLE auth.notices (
  account_id uuid NOT NULL,
  event_id uuid NOT NULL,
  event text NOT NULL,
  happened_at timestamptz NOT NULL DEFAULT now(),
  address inet,
  user_agent text,
  PRIMARY KEY (account_id, event_id)
);

-- Roles that serve go on doing so, also before the next `latchkey migrate --grant-to`.
DO $$
DECLARE
  grantee regrole;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.sessions'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.one_time_tokens TO %s', grantee);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.notices TO %s', grantee);
    EXECUTE format('GRANT UPDATE, DELETE ON auth.identifiers TO %s', grantee);
    EXECUTE format('GRANT DELETE ON auth.users TO %s', grantee);
  END LOOP;
END
$$;

-- Down Migration
DROP TABLE auth.notices;
DROP TABLE auth.one_time_tokens;
DELETE FROM auth.identifiers WHERE kind = 'email';
ALTER TABLE auth.users DROP COLUMN email, DROP COLUMN sign_in_noticed_at;
