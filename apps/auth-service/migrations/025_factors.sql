-- Up Migration
-- The authenticator app of an account: one. Secrets are sealed by a secret of AUTH_SECRETS, as signing keys are.
CREATE TABLE auth.totp (
  account_id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
  -- What codes are checked with. None while the first one is not confirmed.
  secret bytea,
  secret_id text,
  confirmed_at timestamptz,
  -- The step (RFC 6238 §4.2) of the last code that was used: no code is good for two uses.
  last_step bigint NOT NULL DEFAULT 0,
  -- A secret that replaces it when a code of it is confirmed.
  pending_secret bytea,
  pending_secret_id text,
  pending_expires_at timestamptz
);

CREATE TABLE auth.recovery_codes (
  account_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  -- SHA-256 of a code, of 120 random bits. A code that is used is deleted.
  code_hash bytea NOT NULL,
  PRIMARY KEY (account_id, code_hash)
);

CREATE TABLE auth.passkeys (
  account_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  id uuid NOT NULL,
  credential_id bytea NOT NULL,
  -- COSE_Key (RFC 9052 §7).
  public_key bytea NOT NULL,
  -- Browsers offer it to no other relying party.
  rp_id text NOT NULL,
  name text NOT NULL,
  sign_count bigint NOT NULL,
  -- Whether it may be backed up, and is (WebAuthn Level 3 §6.1.3).
  backup_eligible boolean NOT NULL,
  backed_up boolean NOT NULL,
  transports text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  PRIMARY KEY (account_id, id),
  UNIQUE (account_id, credential_id)
);

-- The random user handle of the account's passkeys, which does not tell whose it is. `auth.identifiers` has it as base64url, of
-- the kind `passkey`, so that an assertion finds its account.
ALTER TABLE auth.users ADD COLUMN passkey_handle bytea;

-- Sealed challenges that were used, until they expire: each is good for one use.
CREATE TABLE auth.used_challenges (
  account_id uuid NOT NULL,
  -- SHA-256 of the challenge.
  challenge_hash bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (account_id, challenge_hash)
);
CREATE INDEX used_challenges_by_expiry ON auth.used_challenges (expires_at);

-- Roles that serve go on doing so, also before the next `latchkey migrate --grant-to`.
DO $$
DECLARE
  grantee regrole;
  added text;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.sessions'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    FOREACH added IN ARRAY ARRAY['totp', 'recovery_codes', 'passkeys', 'used_challenges'] LOOP
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.%I TO %s', added, grantee);
    END LOOP;
  END LOOP;
END
$$;

-- Down Migration
DROP TABLE auth.used_challenges;
DROP TABLE auth.passkeys;
DROP TABLE auth.recovery_codes;
DROP TABLE auth.totp;
DELETE FROM auth.identifiers WHERE kind = 'passkey';
ALTER TABLE auth.users DROP COLUMN passkey_handle;
