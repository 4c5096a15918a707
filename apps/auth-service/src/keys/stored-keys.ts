import type { Queryable } from '@latchkey/service-kit/database';
import { utc } from '../database/sql.js';
import type { SealedKey } from './signing-key.js';

/** The phases of the life of a key, in order. */
export type KeyState = 'next' | 'active' | 'retired' | 'gone';

/** A key with the times of its life: RFC 3339, and in milliseconds from now by the database's clock. */
export type StoredKey = SealedKey & {
  state: KeyState;
  createdAt: string;
  activeFrom: string;
  retiredFrom: string | null;
  goneFrom: string | null;
  activeInMs: number;
  goneInMs: number | null;
};

const STATE = `CASE
  WHEN gone_from <= now() THEN 'gone' WHEN retired_from <= now() THEN 'retired'
  WHEN active_from <= now() THEN 'active' ELSE 'next' END`;
const inMs = (column: string) => `(extract(epoch FROM ${column} - now()) * 1000)::float8`;

/** Lists the keys; the one that signs last comes first. */
export async function listKeys(db: Queryable): Promise<StoredKey[]> {
  const { rows } = await db.query<StoredKey>(
    `SELECT kid, public_jwk AS "publicJwk", sealed_private_key AS "sealedPrivateKey", secret_id AS "secretId",
       ${STATE} AS state, ${utc('created_at')} AS "createdAt", ${utc('active_from')} AS "activeFrom",
       ${utc('retired_from')} AS "retiredFrom", ${utc('gone_from')} AS "goneFrom",
       ${inMs('active_from')} AS "activeInMs", ${inMs('gone_from')} AS "goneInMs"
     FROM auth.signing_keys ORDER BY active_from DESC, kid`,
  );
  return rows;
}

/** Keeps other transactions from changing keys until this one ends; they may read them. */
export async function lockKeys(db: Queryable): Promise<void> {
  await db.query('LOCK TABLE auth.signing_keys IN SHARE ROW EXCLUSIVE MODE');
}

/**
 * Adds a key that signs from `leadS` seconds on. The keys before it retire then, and are gone `overlapS` seconds later.
 */
export async function insertKey(db: Queryable, key: SealedKey, leadS: number, overlapS: number): Promise<void> {
  await db.query(
    `WITH added AS (
       INSERT INTO auth.signing_keys (kid, algorithm, public_jwk, sealed_private_key, secret_id, active_from)
       VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) RETURNING active_from
     )
     UPDATE auth.signing_keys k
     SET retired_from = added.active_from, gone_from = added.active_from + make_interval(secs => $7)
     FROM added WHERE k.retired_from IS NULL AND k.kid <> $1`,
    [key.kid, key.publicJwk.alg, key.publicJwk, key.sealedPrivateKey, key.secretId, leadS, overlapS],
  );
}

/** Makes the next key the active one, from now on. */
export async function advanceNextKey(db: Queryable, overlapS: number): Promise<void> {
  await db.query(
    `UPDATE auth.signing_keys SET
       active_from = least(active_from, now()),
       retired_from = CASE WHEN retired_from > now() THEN now() ELSE retired_from END,
       gone_from = CASE WHEN retired_from > now() THEN now() + make_interval(secs => $1) ELSE gone_from END
     WHERE active_from > now() OR retired_from > now()`,
    [overlapS],
  );
}

/** Deletes the next key; the active one continues to sign. */
export async function deleteNextKey(db: Queryable): Promise<void> {
  await db.query('DELETE FROM auth.signing_keys WHERE active_from > now()');
  await db.query('UPDATE auth.signing_keys SET retired_from = NULL, gone_from = NULL WHERE retired_from > now()');
}

/** Ends a key: from now on it neither signs nor verifies tokens. */
export async function endKey(db: Queryable, kid: string): Promise<void> {
  await db.query(
    `UPDATE auth.signing_keys SET active_from = least(active_from, now()),
       retired_from = least(retired_from, now()), gone_from = now() WHERE kid = $1`,
    [kid],
  );
}

/** Replaces the seal of a key, unless another process has done so. */
export async function updateSeal(db: Queryable, key: SealedKey, fromSecretId: string): Promise<void> {
  await db.query(
    'UPDATE auth.signing_keys SET sealed_private_key = $3, secret_id = $4 WHERE kid = $1 AND secret_id = $2',
    [key.kid, fromSecretId, key.sealedPrivateKey, key.secretId],
  );
}

/** Deletes keys that are gone. */
export async function deleteGoneKeys(db: Queryable): Promise<void> {
  await db.query("DELETE FROM auth.signing_keys WHERE gone_from < now() - interval '1 day'");
}
