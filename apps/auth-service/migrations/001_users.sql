-- Up Migration
CREATE TABLE auth.users (
  id uuid PRIMARY KEY,
  username text NOT NULL CHECK (username ~ '^[A-Za-z0-9._@+-]{3,64}$'),
  -- NULL: an account that cannot sign in with a password.
  password_hash text,
  disabled_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Usernames are ASCII, so the C collation folds them the same way in every database.
CREATE UNIQUE INDEX users_username_key ON auth.users (lower(username COLLATE "C"));

-- Down Migration
DROP TABLE auth.users;
