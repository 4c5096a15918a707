-- Up Migration
-- bcrypt's cost, of our own form and of plain rows.
CREATE FUNCTION auth.password_cost(hash text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT substring(hash FROM '\$2[aby]\$(\d\d)\$')::integer $$;

-- Every comparison costs what the highest does, and replicas ask for that again and again.
CREATE INDEX users_by_password_cost ON auth.users (auth.password_cost(password_hash));

-- Down Migration
DROP INDEX auth.users_by_password_cost;
DROP FUNCTION auth.password_cost;
