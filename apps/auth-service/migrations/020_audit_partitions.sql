-- Up Migration
-- The audit trail has a partition for each month: an old one is dropped as a whole, and nothing searches for old rows.
-- `place` is the account that an event is about, otherwise the event itself: a database that is distributed by account keeps the row
-- where that is.
ALTER TABLE auth.audit_events RENAME TO audit_events_before;
ALTER TABLE auth.audit_events_before RENAME CONSTRAINT audit_events_pkey TO audit_events_before_pkey;
ALTER INDEX auth.audit_events_by_user RENAME TO audit_events_before_by_user;
DROP INDEX auth.audit_events_by_time;

CREATE TABLE auth.audit_events (
  place uuid NOT NULL,
  id uuid NOT NULL,
  happened_at timestamptz NOT NULL DEFAULT now(),
  event text NOT NULL,
  user_id uuid,
  session_id uuid,
  client_id text,
  actor text,
  details jsonb,
  request_id text,
  address inet,
  user_agent text,
  PRIMARY KEY (place, happened_at, id)
) PARTITION BY RANGE (happened_at);

CREATE INDEX audit_events_by_time ON auth.audit_events (happened_at, id);
-- Takes what has no partition, which should be nothing.
CREATE TABLE auth.audit_events_default PARTITION OF auth.audit_events DEFAULT;

-- Replicas of the version before name no place.
CREATE FUNCTION auth.place_audit_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.place := coalesce(NEW.user_id, NEW.id);
  RETURN NEW;
END
$$;
CREATE TRIGGER audit_event_placed BEFORE INSERT ON auth.audit_events FOR EACH ROW
WHEN (NEW.place IS NULL) EXECUTE FUNCTION auth.place_audit_event();

-- Makes the partitions of this month and the next three, and drops those whose last event is older than the days to keep; 0 keeps
-- all. It runs as the owner of the tables, since the role that serves may make and drop none. Readers and writers of the
-- trail wait for it no longer than the lock timeout, and the service calls it again an hour later.
CREATE FUNCTION auth.keep_audit_partitions(days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET timezone = 'UTC' AS $$
DECLARE
  month timestamptz;
  partition text;
BEGIN
  -- One replica at a time; it keeps no event waiting.
  LOCK TABLE ONLY auth.audit_events IN SHARE UPDATE EXCLUSIVE MODE;
  FOR n IN 0..3 LOOP
    month := date_trunc('month', now()) + make_interval(months => n);
    partition := 'audit_events_' || to_char(month, 'YYYY_MM');
    CONTINUE WHEN to_regclass('auth.' || partition) IS NOT NULL OR EXISTS (
      SELECT FROM auth.audit_events_default WHERE happened_at >= month AND happened_at < month + interval '1 month');
    EXECUTE format('CREATE TABLE auth.%I PARTITION OF auth.audit_events FOR VALUES FROM (%L) TO (%L)',
      partition, month, month + interval '1 month');
  END LOOP;
  IF days > 0 THEN
    FOR partition IN
      SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'auth.audit_events'::regclass AND c.relname ~ '^audit_events_\d{4}_\d\d$'
        AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= now() - make_interval(days => days)
    LOOP
      EXECUTE format('DROP TABLE auth.%I', partition);
    END LOOP;
    DELETE FROM auth.audit_events_default WHERE ctid IN (
      SELECT ctid FROM auth.audit_events_default WHERE happened_at < now() - make_interval(days => days) LIMIT 10000);
  END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION auth.keep_audit_partitions FROM PUBLIC;
SELECT auth.keep_audit_partitions(0);

-- Roles that could use the trail still can, also before the next `latchkey migrate --grant-to`. Only those that could delete events
-- may have partitions of them dropped.
DO $$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT a.grantee::regrole AS role, string_agg(a.privilege_type, ', ') AS privileges,
      bool_or(a.privilege_type = 'DELETE') AS deletes
    FROM pg_class c, aclexplode(c.relacl) AS a
    WHERE c.oid = 'auth.audit_events_before'::regclass AND a.grantee NOT IN (0, c.relowner) GROUP BY 1
  LOOP
    EXECUTE format('GRANT %s ON auth.audit_events TO %s', held.privileges, held.role);
    IF held.deletes THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION auth.keep_audit_partitions TO %s', held.role);
    END IF;
  END LOOP;
END
$$;

-- Down Migration
DO $$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT a.grantee::regrole AS role, string_agg(a.privilege_type, ', ') AS privileges
    FROM pg_class c, aclexplode(c.relacl) AS a
    WHERE c.oid = 'auth.audit_events'::regclass AND a.grantee NOT IN (0, c.relowner) GROUP BY 1
  LOOP
    EXECUTE format('GRANT %s ON auth.audit_events_before TO %s', held.privileges, held.role);
  END LOOP;
END
$$;
DROP FUNCTION auth.keep_audit_partitions;
INSERT INTO auth.audit_events_before (id, happened_at, event, user_id, session_id, client_id, actor, details, request_id, address, user_agent)
SELECT id, happened_at, event, user_id, session_id, client_id, actor, details, request_id, address, user_agent FROM auth.audit_events;
DROP TABLE auth.audit_events;
DROP FUNCTION auth.place_audit_event;
ALTER TABLE auth.audit_events_before RENAME TO audit_events;
ALTER TABLE auth.audit_events RENAME CONSTRAINT audit_events_before_pkey TO audit_events_pkey;
ALTER INDEX auth.audit_events_before_by_user RENAME TO audit_events_by_user;
CREATE INDEX audit_events_by_time ON auth.audit_events USING brin (happened_at);
