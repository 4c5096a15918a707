-- Up Migration
-- All revocations of one transaction are a batch. Batches get consecutive positions once they have been committed, so
-- that a reader needs nothing but its place: transaction ids mean nothing after a restore, and on another node.
CREATE TABLE auth.revocation_batches (
  id uuid PRIMARY KEY,
  -- NULL until it is placed.
  position bigint UNIQUE
);

CREATE INDEX revocation_batches_unplaced ON auth.revocation_batches (id) WHERE position IS NULL;

-- The last position that was given. Its row is locked by the one that places batches.
CREATE TABLE auth.revocation_head (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  position bigint NOT NULL
);

INSERT INTO auth.revocation_batches (id, position) VALUES ('00000000-0000-0000-0000-000000000000', 1);
INSERT INTO auth.revocation_head (position) VALUES (1);

-- Those from before are one batch.
ALTER TABLE auth.revocations ADD COLUMN batch uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
CREATE INDEX revocations_by_batch ON auth.revocations (batch, session_id);

-- The batch of this transaction, made when it is needed first.
CREATE FUNCTION auth.revocation_batch() RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  batch text := nullif(current_setting('latchkey.revocation_batch', true), '');
BEGIN
  IF batch IS NULL THEN
    batch := set_config('latchkey.revocation_batch', gen_random_uuid()::text, true);
    INSERT INTO auth.revocation_batches (id) VALUES (batch::uuid);
  END IF;
  RETURN batch::uuid;
END
$$;

ALTER TABLE auth.revocations ALTER COLUMN batch SET DEFAULT auth.revocation_batch();

-- Replicas are notified once a batch, not once a session.
CREATE OR REPLACE FUNCTION auth.notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('latchkey_auth', coalesce(TG_ARGV[0], TG_TABLE_NAME));
  RETURN NULL;
END
$$;

DROP TRIGGER revocations_changed ON auth.revocations;
CREATE TRIGGER revocation_batches_changed AFTER INSERT OR UPDATE ON auth.revocation_batches
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change('revocations');

-- Roles that end sessions go on doing so: the trigger runs as them.
DO $$
DECLARE
  grantee regrole;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.revocations'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.revocation_batches TO %s', grantee);
    EXECUTE format('GRANT SELECT, UPDATE ON auth.revocation_head TO %s', grantee);
  END LOOP;
END
$$;

-- Down Migration
DROP TRIGGER revocation_batches_changed ON auth.revocation_batches;
CREATE OR REPLACE FUNCTION auth.notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('latchkey_auth', TG_TABLE_NAME);
  RETURN NULL;
END
$$;
CREATE TRIGGER revocations_changed AFTER INSERT ON auth.revocations
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change();
DROP INDEX auth.revocations_by_batch;
ALTER TABLE auth.revocations DROP COLUMN batch;
DROP FUNCTION auth.revocation_batch;
DROP TABLE auth.revocation_head;
DROP TABLE auth.revocation_batches;
