-- Up Migration
CREATE TABLE auth.signing_keys (
  -- RFC 7638 thumbprint of the public half.
  kid text PRIMARY KEY,
  algorithm text NOT NULL,
  public_jwk jsonb NOT NULL,
  -- The private half (PKCS #8), sealed with AES-256-GCM by the secret named beside it.
  sealed_private_key bytea NOT NULL,
  secret_id text NOT NULL,
  state text NOT NULL CHECK (state IN ('active')),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Replicas that start at once on an empty database agree on one key.
CREATE UNIQUE INDEX signing_keys_one_active ON auth.signing_keys (state) WHERE state = 'active';

-- Down Migration
DROP TABLE auth.signing_keys;
