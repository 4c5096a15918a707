import { epoch, type Queryable, utc } from '../database/sql.js';
import { type Origin, originValue, recording } from '../events/audit-events.js';

/** A service that calls with credentials of its own. */
export type Client = { id: string; scopes: string[]; disabled: boolean; createdAt: string };

/** A client with the SHA-256 hashes of the secrets that are good now, in seconds since 1970 by the database's clock. */
export type StoredClient = Pick<Client, 'id' | 'scopes' | 'disabled'> & { secretHashes: Buffer[]; now: number };

const COLUMNS = `id, scopes, disabled_at IS NOT NULL AS disabled, ${utc('created_at')} AS "createdAt"`;

export async function findClient(db: Queryable, id: string): Promise<StoredClient | undefined> {
  const { rows } = await db.query<StoredClient>(
    `SELECT id, scopes, disabled_at IS NOT NULL AS disabled, ${epoch('now()')} AS now,
       CASE WHEN previous_secret_until > now() THEN ARRAY[secret_hash, previous_secret_hash] ELSE ARRAY[secret_hash] END
         AS "secretHashes"
     FROM auth.clients WHERE id = $1`,
    [id],
  );
  return rows[0];
}

export async function listClients(db: Queryable): Promise<Client[]> {
  const { rows } = await db.query<Client>(`SELECT ${COLUMNS} FROM auth.clients ORDER BY id`);
  return rows;
}

/** Adds a client; `false` when there is one with that id. */
export async function insertClient(
  db: Queryable,
  client: { id: string; secretHash: Buffer; scopes: string[] },
  origin: Origin,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `WITH c AS (
       INSERT INTO auth.clients (id, secret_hash, scopes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING *
     ), recorded AS (${recording('$4', `SELECT 'client_created', NULL::uuid, NULL::uuid, c.id, jsonb_build_object('scopes', c.scopes) FROM c`)})
     SELECT FROM c`,
    [client.id, client.secretHash, client.scopes, originValue(origin)],
  );
  return rowCount === 1;
}

/** Gives a client another secret; the one before stays good for `graceS` seconds. `false` when there is no such client. */
export async function replaceClientSecret(
  db: Queryable,
  client: { id: string; secretHash: Buffer; graceS: number },
  origin: Origin,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `WITH c AS (
       UPDATE auth.clients SET secret_hash = $2, previous_secret_hash = secret_hash,
         previous_secret_until = now() + make_interval(secs => $3)
       WHERE id = $1 RETURNING *
     ), recorded AS (${recording('$4', `SELECT 'client_secret_rotated', NULL::uuid, NULL::uuid, c.id, NULL::jsonb FROM c`)})
     SELECT FROM c`,
    [client.id, client.secretHash, client.graceS, originValue(origin)],
  );
  return rowCount === 1;
}

/** Disables or enables a client: whether that changed anything; `undefined` when there is no such client. */
export async function setClientDisabled(
  db: Queryable,
  client: { id: string; disabled: boolean },
  origin: Origin,
): Promise<boolean | undefined> {
  const { rows } = await db.query<{ changed: boolean }>(
    `WITH c AS (
       UPDATE auth.clients SET disabled_at = CASE WHEN $2 THEN now() END
       WHERE id = $1 AND (disabled_at IS NOT NULL) <> $2 RETURNING *
     ), recorded AS (${recording(
       '$3',
       `SELECT CASE WHEN $2 THEN 'client_disabled' ELSE 'client_enabled' END, NULL::uuid, NULL::uuid, c.id, NULL::jsonb FROM c`,
     )})
     SELECT EXISTS (SELECT FROM c) AS changed FROM auth.clients WHERE id = $1`,
    [client.id, client.disabled, originValue(origin)],
  );
  return rows[0]?.changed;
}
