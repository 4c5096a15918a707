-- Up Migration
-- Counters of rate-limiter-flexible, which names the columns and writes them in this order. Keys are hashed.
-- Unlogged: an attempt costs no WAL and waits for no disk; a crash of the database, or a failover, forgets the counters.
CREATE UNLOGGED TABLE auth.throttles (
  key text COLLATE "C" PRIMARY KEY,
  points integer NOT NULL,
  -- Milliseconds since 1970.
  expire bigint NOT NULL
)
-- Room on the page, and a count changes no index: a HOT update.
WITH (fillfactor = 70);

CREATE INDEX throttles_by_expire ON auth.throttles (expire);

-- Down Migration
DROP TABLE auth.throttles;
