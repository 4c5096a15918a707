import type { SealedKey } from '../signing-key.js';
import type { Queryable } from './queryable.js';

/** The key that signs now. */
export async function findActiveKey(db: Queryable): Promise<SealedKey | undefined> {
  const { rows } = await db.query<SealedKey>(
    `SELECT kid, public_jwk AS "publicJwk", sealed_private_key AS "sealedPrivateKey", secret_id AS "secretId"
     FROM auth.signing_keys WHERE state = 'active'`,
  );
  return rows[0];
}

/** Makes a key the active one, unless there is one already. */
export async function insertActiveKey(db: Queryable, key: SealedKey): Promise<void> {
  await db.query(
    `INSERT INTO auth.signing_keys (kid, algorithm, public_jwk, sealed_private_key, secret_id, state)
     VALUES ($1, $2, $3, $4, $5, 'active') ON CONFLICT DO NOTHING`,
    [key.kid, key.publicJwk.alg, key.publicJwk, key.sealedPrivateKey, key.secretId],
  );
}
