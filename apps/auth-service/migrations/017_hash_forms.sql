-- Up Migration
-- What a password's hash says before its salt. The service reads it, also from hashes that it has not written: until then it
-- is NULL. On a large table run these three statements beforehand, with CREATE INDEX CONCURRENTLY: here sign-ins wait for them,
-- seconds per million accounts.
ALTER TABLE auth.users
  -- Scheme, settings and pepper, with which the hash begins; empty when it is of no known form.
  ADD COLUMN IF NOT EXISTS hash_form text,
  -- bcrypt's cost.
  ADD COLUMN IF NOT EXISTS hash_cost integer,
  -- Id of the secret whose pepper went in.
  ADD COLUMN IF NOT EXISTS hash_secret text;
CREATE INDEX IF NOT EXISTS users_unread_hashes ON auth.users (id) WHERE password_hash IS NOT NULL AND hash_form IS NULL;
-- Every comparison costs what the highest does, and replicas ask for that again and again.
CREATE INDEX IF NOT EXISTS users_by_hash_cost ON auth.users (hash_cost) WHERE hash_cost IS NOT NULL;

-- For replicas of the version before, and for an operator's SQL: a hash that came without its form is to be read.
CREATE FUNCTION auth.forget_hash_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.hash_form := NULL;
  NEW.hash_cost := NULL;
  NEW.hash_secret := NULL;
  IF NEW.password_hash IS NOT NULL THEN
    PERFORM pg_notify('latchkey_auth', 'password_costs');
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER hash_added BEFORE INSERT ON auth.users FOR EACH ROW
  WHEN (NEW.password_hash IS NOT NULL AND NEW.hash_form IS NULL) EXECUTE FUNCTION auth.forget_hash_form();
CREATE TRIGGER hash_changed BEFORE UPDATE OF password_hash ON auth.users FOR EACH ROW
  WHEN (NEW.password_hash IS DISTINCT FROM OLD.password_hash
    AND (NEW.hash_form = '' OR NOT starts_with(NEW.password_hash, NEW.hash_form)) IS NOT FALSE)
  EXECUTE FUNCTION auth.forget_hash_form();

-- Down Migration
DROP TRIGGER hash_changed ON auth.users;
DROP TRIGGER hash_added ON auth.users;
DROP FUNCTION auth.forget_hash_form;
DROP INDEX auth.users_by_hash_cost;
DROP INDEX auth.users_unread_hashes;
ALTER TABLE auth.users DROP COLUMN hash_form, DROP COLUMN hash_cost, DROP COLUMN hash_secret;
