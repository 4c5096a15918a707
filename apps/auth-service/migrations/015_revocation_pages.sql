-- Up Migration
-- Revocations as readers get them: in pages at consecutive positions. Batches are moved into pages once they have been
-- committed, by one transaction at a time; a page is read by its position, however large the batch was.
CREATE TABLE auth.revocation_pages (
  position bigint PRIMARY KEY,
  -- Members of the feed's response, as JSON, with commas between them: each as long as any other.
  entries text NOT NULL,
  -- When the last of them is in force no more.
  expires_at timestamptz NOT NULL
);
-- Random ids hardly compress.
ALTER TABLE auth.revocation_pages ALTER COLUMN entries SET STORAGE EXTERNAL;

-- The last position of a page. The row is locked by the transaction that makes pages.
ALTER TABLE auth.revocation_head ADD COLUMN page bigint NOT NULL DEFAULT 0;

-- Whether all revocations of the batch are in pages, and otherwise the last one that is.
ALTER TABLE auth.revocation_batches
  ADD COLUMN paged boolean NOT NULL DEFAULT false,
  ADD COLUMN paged_after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
CREATE INDEX revocation_batches_unpaged ON auth.revocation_batches (id) WHERE NOT paged;

-- Roles that end sessions go on doing so.
DO $$
DECLARE
  grantee regrole;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.revocation_batches'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.revocation_pages TO %s', grantee);
  END LOOP;
END
$$;

-- Down Migration
DROP INDEX auth.revocation_batches_unpaged;
ALTER TABLE auth.revocation_batches DROP COLUMN paged_after, DROP COLUMN paged;
ALTER TABLE auth.revocation_head DROP COLUMN page;
DROP TABLE auth.revocation_pages;
