-- Up Migration
-- The feed of ended sessions, packed: 16 bytes of the session's id and 4 of when its last token expires, in seconds since 1970.
-- A transaction that ends sessions packs them itself, when it commits, so that nobody else does so for a million of them.
CREATE TABLE auth.feed_drafts (
  batch uuid NOT NULL,
  n integer NOT NULL,
  packed bytea NOT NULL,
  -- When the last of them is in force no more.
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (batch, n)
);
-- Committed drafts are moved to consecutive positions by one transaction at a time, which locks `auth.revocation_head`.
CREATE TABLE auth.feed_pages (
  position bigint PRIMARY KEY,
  packed bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
-- Random ids do not compress.
ALTER TABLE auth.feed_drafts ALTER COLUMN packed SET STORAGE EXTERNAL;
ALTER TABLE auth.feed_pages ALTER COLUMN packed SET STORAGE EXTERNAL;
ALTER TABLE auth.revocation_head ADD COLUMN feed_page bigint NOT NULL DEFAULT 0;

CREATE FUNCTION auth.draft_feed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO auth.feed_drafts (batch, n, packed, expires_at)
  SELECT NEW.id, n,
    -- The upper half of the seconds is 0 until 2106.
    string_agg(uuid_send(session_id) || substring(int8send(floor(date_part('epoch', expires_at))::bigint) FROM 5), ''),
    max(expires_at)
  FROM (
    SELECT session_id, expires_at, (row_number() OVER (ORDER BY session_id) - 1) / 2500 AS n
    FROM auth.revocations WHERE batch = NEW.id
  ) AS numbered
  GROUP BY n;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER feed_drafted AFTER INSERT ON auth.revocation_batches DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION auth.draft_feed();
CREATE TRIGGER feed_pages_changed AFTER INSERT ON auth.feed_pages
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change('revocations');

-- What has ended before.
INSERT INTO auth.feed_drafts (batch, n, packed, expires_at)
SELECT '00000000-0000-0000-0000-000000000000', n,
  string_agg(uuid_send(session_id) || substring(int8send(floor(date_part('epoch', expires_at))::bigint) FROM 5), ''),
  max(expires_at)
FROM (
  SELECT session_id, expires_at, (row_number() OVER (ORDER BY session_id) - 1) / 2500 AS n
  FROM auth.revocations WHERE expires_at > now() - interval '5 minutes'
) AS numbered
GROUP BY n;

-- Roles that end sessions go on doing so: the trigger runs as them.
DO $$
DECLARE
  grantee regrole;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.revocation_batches'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON auth.feed_drafts, auth.feed_pages TO %s', grantee);
  END LOOP;
END
$$;

-- Down Migration
DROP TRIGGER feed_drafted ON auth.revocation_batches;
DROP FUNCTION auth.draft_feed;
ALTER TABLE auth.revocation_head DROP COLUMN feed_page;
DROP TABLE auth.feed_pages;
DROP TABLE auth.feed_drafts;
