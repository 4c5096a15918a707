-- Up Migration
-- A row for each key of a limit. Keys are MACs.
-- Unlogged: an attempt writes no WAL and waits for no disk; a crash of the database, or a failover, forgets the counters.
CREATE UNLOGGED TABLE auth.throttle_counters (
  key text COLLATE "C" PRIMARY KEY,
  failures integer NOT NULL DEFAULT 0,
  -- When the failures are forgotten.
  failures_until timestamptz,
  closed_until timestamptz,
  -- Until when the account of a pair knows the pair's address.
  known_until timestamptz,
  -- One for each attempt that is spent and not settled: when it stops counting. In order, and unique within the row.
  leases timestamptz[] NOT NULL DEFAULT '{}',
  -- Not before any of these times, and moved by hours, so that hardly an update changes the index: HOT updates.
  expires_at timestamptz NOT NULL
)
WITH (fillfactor = 70);

CREATE INDEX throttle_counters_by_expiry ON auth.throttle_counters (expires_at);

-- Locks the counter of a key, and makes one when there is none. What is over by now is left out of the result.
CREATE FUNCTION auth.lock_throttle_counter(wanted text) RETURNS auth.throttle_counters LANGUAGE plpgsql AS $$
DECLARE
  counter auth.throttle_counters;
BEGIN
  LOOP
    SELECT * INTO counter FROM auth.throttle_counters WHERE key = wanted FOR UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO auth.throttle_counters (key, expires_at) VALUES (wanted, now() + interval '1 hour') ON CONFLICT DO NOTHING;
  END LOOP;
  counter.leases := ARRAY(SELECT lease FROM unnest(counter.leases) AS lease WHERE lease > now());
  IF counter.failures_until <= now() THEN
    counter.failures := 0;
    counter.failures_until := NULL;
  END IF;
  IF counter.closed_until <= now() THEN
    counter.closed_until := NULL;
  END IF;
  RETURN counter;
END
$$;

-- Takes an attempt of each limit, or of none: limits is [{"key", "quota"}, …], in the order in which everybody locks them.
-- The first limit decides for everybody; the others do not count for a caller who is exempt, or known by the first.
CREATE FUNCTION auth.spend_attempt(
  limits jsonb, lease_s float8, is_exempt boolean,
  -- When the attempt was taken: its lease, and the keys of which it was taken.
  OUT lease timestamptz, OUT taken text[],
  -- When it was refused: by which key, for how long, and whether by a block rather than by attempts that are not settled.
  OUT refused_by text, OUT refused_s float8, OUT is_closed boolean
) LANGUAGE plpgsql AS $$
DECLARE
  keys CONSTANT text[] := ARRAY(SELECT value->>'key' FROM jsonb_array_elements(limits));
  wanted record;
  counter auth.throttle_counters;
  unsettled integer;
BEGIN
  is_exempt := is_exempt
    OR EXISTS (SELECT FROM auth.throttle_counters c WHERE c.key = keys[1] AND c.known_until > now());
  -- A block is found without a lock and without a write.
  SELECT c.key, extract(epoch FROM c.closed_until - now()), true INTO refused_by, refused_s, is_closed
  FROM auth.throttle_counters c
  WHERE c.key = ANY (keys) AND c.closed_until > now() AND (c.key = keys[1] OR NOT is_exempt)
  ORDER BY array_position(keys, c.key) LIMIT 1;
  IF FOUND THEN
    RETURN;
  END IF;

  lease := now() + lease_s * interval '1 second';
  FOR wanted IN SELECT * FROM jsonb_to_recordset(limits) AS limits (key text, quota integer) LOOP
    counter := auth.lock_throttle_counter(wanted.key);
    unsettled := cardinality(counter.leases);
    -- No row lists more than 1000 attempts.
    IF counter.closed_until IS NULL AND unsettled < least(1000, wanted.quota - counter.failures % wanted.quota) THEN
      taken := taken || wanted.key;
      lease := greatest(lease, counter.leases[unsettled] + interval '1 microsecond');
    ELSIF wanted.key = keys[1] OR NOT is_exempt THEN
      refused_by := wanted.key;
      is_closed := counter.closed_until IS NOT NULL;
      -- What has been open for so long may well take as long again, but not beyond the lease that ends first.
      refused_s := CASE WHEN is_closed THEN extract(epoch FROM counter.closed_until - now())
        ELSE extract(epoch FROM least(
          counter.leases[1] - now(), lease_s * interval '1 second' - (counter.leases[unsettled] - now()))) END;
      lease := NULL;
      taken := NULL;
      RETURN;
    END IF;
  END LOOP;
  UPDATE auth.throttle_counters c SET
    leases = ARRAY(SELECT old FROM unnest(c.leases) AS old WHERE old > now()) || lease,
    expires_at = greatest(expires_at, date_trunc('hour', lease + interval '1 hour'))
  WHERE c.key = ANY (taken);
END
$$;

-- Ends the lease of an attempt, and counts what came of it. limits is [{"key", "quota", "memory", "wait", "longest", "failed",
-- "forgiven", "known"}, …], in the order in which everybody locks them; memory, wait, longest and known are in seconds.
-- Whoever settles an attempt once more changes nothing; a failure still counts when its lease has run out.
CREATE FUNCTION auth.settle_attempt(limits jsonb, lease timestamptz)
RETURNS TABLE (settled_key text, available integer, resets_s float8, block_s float8) LANGUAGE plpgsql AS $$
DECLARE
  settled record;
  counter auth.throttle_counters;
  is_due boolean;
  waits float8;
BEGIN
  FOR settled IN SELECT * FROM jsonb_to_recordset(limits) AS limits (
    key text, quota integer, memory float8, wait float8, longest float8, failed boolean, forgiven boolean, known float8
  ) LOOP
    counter := auth.lock_throttle_counter(settled.key);
    is_due := lease = ANY (counter.leases) OR lease <= now();
    block_s := NULL;
    IF settled.failed AND is_due THEN
      counter.failures := counter.failures + 1;
      counter.failures_until := coalesce(counter.failures_until, now() + settled.memory * interval '1 second');
      IF counter.failures % settled.quota = 0 THEN
        waits := least(settled.longest, settled.wait * 2 ^ least(30, counter.failures / settled.quota - 1));
        counter.closed_until := CASE WHEN settled.longest IS NULL THEN counter.failures_until
          ELSE now() + waits * interval '1 second' END;
        block_s := extract(epoch FROM counter.closed_until - now());
      END IF;
    ELSIF settled.forgiven AND is_due THEN
      counter.failures := 0;
      counter.failures_until := NULL;
      counter.closed_until := NULL;
    END IF;
    counter.leases := array_remove(counter.leases, lease);
    counter.known_until := coalesce(now() + settled.known * interval '1 second', counter.known_until);
    UPDATE auth.throttle_counters c SET
      failures = counter.failures, failures_until = counter.failures_until, closed_until = counter.closed_until,
      known_until = counter.known_until, leases = counter.leases,
      expires_at = greatest(c.expires_at, date_trunc('hour', interval '1 hour'
        + greatest(counter.failures_until, counter.closed_until, counter.known_until)))
    WHERE c.key = counter.key;

    settled_key := settled.key;
    available := CASE WHEN counter.closed_until IS NULL
      THEN greatest(0, settled.quota - counter.failures % settled.quota - cardinality(counter.leases)) ELSE 0 END;
    resets_s := extract(epoch FROM counter.failures_until - now());
    RETURN NEXT;
  END LOOP;
END
$$;

-- Blocks, failures that add up, and known addresses. The old table stays for replicas of the version before.
INSERT INTO auth.throttle_counters (key, failures, failures_until, closed_until, known_until, expires_at)
SELECT new_key, coalesce(max(points) FILTER (WHERE kind = '-failures'), 0), max(until) FILTER (WHERE kind = '-failures'),
  max(until) FILTER (WHERE kind = '' AND points >= 1000000000), max(until) FILTER (WHERE kind = 'familiar'),
  max(until) + interval '1 hour'
FROM auth.throttles,
  regexp_match(key, '^(.+?)(-failures)?:(.*)$') AS part,
  LATERAL (SELECT
    CASE part[1] WHEN 'familiar' THEN 'pair' ELSE part[1] END || ':' || part[3] AS new_key,
    CASE part[1] WHEN 'familiar' THEN 'familiar' ELSE coalesce(part[2], '') END AS kind,
    to_timestamp(expire / 1000.0) AS until) AS old
WHERE expire > extract(epoch FROM now()) * 1000
  AND (kind <> '' OR points >= 1000000000)
GROUP BY new_key;

-- Down Migration
DROP FUNCTION auth.settle_attempt;
DROP FUNCTION auth.spend_attempt;
DROP FUNCTION auth.lock_throttle_counter;
DROP TABLE auth.throttle_counters;
