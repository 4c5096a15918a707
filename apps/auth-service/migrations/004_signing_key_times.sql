-- Up Migration
-- A key's state follows from the time alone: next, then active, then retired, then gone. So one command plans a whole
-- rotation, and no replica has to act at the right moment.
ALTER TABLE auth.signing_keys
  ADD COLUMN active_from timestamptz NOT NULL DEFAULT now(),
  -- From when the next key signs.
  ADD COLUMN retired_from timestamptz,
  -- From when no token of it lives any more.
  ADD COLUMN gone_from timestamptz CHECK (gone_from >= retired_from),
  ADD CHECK ((retired_from IS NULL) = (gone_from IS NULL));

UPDATE auth.signing_keys SET active_from = created_at;

ALTER TABLE auth.signing_keys DROP COLUMN state;

-- Replicas listen, so that they hear of a change at once.
CREATE FUNCTION auth.notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('latchkey_auth', TG_TABLE_NAME);
  RETURN NULL;
END
$$;

CREATE TRIGGER signing_keys_changed AFTER INSERT OR UPDATE OR DELETE ON auth.signing_keys
  FOR EACH STATEMENT EXECUTE FUNCTION auth.notify_change();

-- Down Migration
DROP TRIGGER signing_keys_changed ON auth.signing_keys;
DROP FUNCTION auth.notify_change;
DELETE FROM auth.signing_keys WHERE active_from > now() OR retired_from <= now();
ALTER TABLE auth.signing_keys
  DROP COLUMN active_from,
  DROP COLUMN retired_from,
  DROP COLUMN gone_from,
  ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active'));
CREATE UNIQUE INDEX signing_keys_one_active ON auth.signing_keys (state) WHERE state = 'active';
