-- Up Migration
-- The names by which accounts are found, each of one account. A username is kept in lower case. They are keyed by themselves,
-- so that accounts can be distributed by their ids.
CREATE TABLE auth.identifiers (
  name text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  user_id uuid NOT NULL,
  PRIMARY KEY (name, kind)
);
CREATE INDEX identifiers_by_user ON auth.identifiers (user_id);

-- For replicas of the version before, and for an operator's SQL. A name is claimed before its account is added, as new
-- replicas do it.
CREATE FUNCTION auth.keep_identifiers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM auth.identifiers WHERE user_id = OLD.id AND (TG_OP = 'DELETE' OR kind = 'username');
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  INSERT INTO auth.identifiers (name, kind, user_id) VALUES (lower(NEW.username COLLATE "C"), 'username', NEW.id)
  ON CONFLICT DO NOTHING;
  RETURN NEW;
END
$$;
CREATE TRIGGER users_named BEFORE INSERT OR DELETE OR UPDATE OF username ON auth.users
  FOR EACH ROW EXECUTE FUNCTION auth.keep_identifiers();

-- Roles that add accounts go on doing so. The trigger above lets sign-ups wait until this is done, seconds per million accounts.
DO $$
DECLARE
  grantee regrole;
BEGIN
  FOR grantee IN
    SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) AS acl
    WHERE c.oid = 'auth.users'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT, INSERT ON auth.identifiers TO %s', grantee);
  END LOOP;
END
$$;
INSERT INTO auth.identifiers (name, kind, user_id) SELECT lower(username COLLATE "C"), 'username', id FROM auth.users;

-- Down Migration
DROP TRIGGER users_named ON auth.users;
DROP FUNCTION auth.keep_identifiers;
DROP TABLE auth.identifiers;
