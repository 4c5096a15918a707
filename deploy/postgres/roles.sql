-- One role a service, which owns its own schema, cannot look into the other's, and can make nothing else. The postgres image
-- runs this when it makes the database. It may run again, by a superuser: it then sets the passwords anew and takes over
-- what another role has migrated.
\getenv auth_password AUTH_DB_PASSWORD
\getenv notes_password NOTES_DB_PASSWORD

BEGIN;

DO $$
BEGIN
  IF to_regrole('auth_service') IS NULL THEN CREATE ROLE auth_service; END IF;
  IF to_regrole('notes_service') IS NULL THEN CREATE ROLE notes_service; END IF;
END
$$;
ALTER ROLE auth_service
  LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'auth_password';
ALTER ROLE notes_service
  LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'notes_password';

-- By default everybody may connect to every database.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
-- The dry run of `latchkey users import` makes a temporary table.
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO auth_service;
GRANT CONNECT ON DATABASE :"DBNAME" TO notes_service;

-- Made here, so that neither role needs the right to make schemas.
CREATE SCHEMA IF NOT EXISTS auth;
CREATE SCHEMA IF NOT EXISTS notes;
ALTER SCHEMA auth OWNER TO auth_service;
ALTER SCHEMA notes OWNER TO notes_service;

DO $$
DECLARE
  command text;
BEGIN
  FOR command IN
    WITH owners (schema, owner) AS (
      VALUES ('auth'::regnamespace, 'auth_service'::regrole), ('notes'::regnamespace, 'notes_service'::regrole)
    )
    -- Sequences and indexes follow their tables.
    SELECT format('ALTER TABLE %s OWNER TO %s', c.oid::regclass, owner)
    FROM pg_class c JOIN owners ON c.relnamespace = schema WHERE c.relkind IN ('r', 'p')
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO %s', p.oid::regprocedure, owner)
    FROM pg_proc p JOIN owners ON p.pronamespace = schema
  LOOP
    EXECUTE command;
  END LOOP;
END
$$;

COMMIT;
