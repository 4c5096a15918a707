-- Up Migration
-- The statement that ends sessions writes the draft of the feed that tells of them, and names it in their rows; the trigger does so
-- for an operator's SQL, and for replicas of the version before. In a database that is distributed by account the trigger cannot.
ALTER TABLE auth.sessions ADD COLUMN draft uuid;
DROP TRIGGER session_revoked ON auth.sessions;
CREATE TRIGGER session_revoked AFTER UPDATE OF revoked_at ON auth.sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND NEW.draft IS NULL
    AND OLD.token_expires_at > now() - interval '5 minutes')
  EXECUTE FUNCTION auth.revoke_session();

DROP TRIGGER revocation_batches_changed ON auth.revocation_batches;
CREATE TRIGGER feed_drafts_changed AFTER INSERT ON auth.feed_drafts
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change('revocations');

-- As before, without an expression that a distributed table cannot have in a function, and without `ctid`, which is the place of a row
-- on one node.
CREATE OR REPLACE FUNCTION auth.keep_audit_partitions(days integer) RETURNS void
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
    CONTINUE WHEN to_regclass('auth.' || partition) IS NOT NULL;
    PERFORM FROM auth.audit_events_default WHERE happened_at >= month AND happened_at < month + interval '1 month' LIMIT 1;
    CONTINUE WHEN FOUND;
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
    DELETE FROM auth.audit_events_default WHERE (place, happened_at, id) IN (
      SELECT place, happened_at, id FROM auth.audit_events_default
      WHERE happened_at < now() - make_interval(days => days) LIMIT 10000);
  END IF;
END
$$;

-- Down Migration
-- `auth.keep_audit_partitions` stays: it does the same.
DROP TRIGGER feed_drafts_changed ON auth.feed_drafts;
CREATE TRIGGER revocation_batches_changed AFTER INSERT OR UPDATE ON auth.revocation_batches
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change('revocations');
DROP TRIGGER session_revoked ON auth.sessions;
CREATE TRIGGER session_revoked AFTER UPDATE OF revoked_at ON auth.sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND OLD.token_expires_at > now() - interval '5 minutes')
  EXECUTE FUNCTION auth.revoke_session();
ALTER TABLE auth.sessions DROP COLUMN draft;
