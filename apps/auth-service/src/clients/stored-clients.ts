import type { Queryable } from '@latchkey/service-kit/database';
import { epoch, statement, utc } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';

/** A service that calls with credentials of its own. */
export type Client = {
  id: string;
  scopes: string[];
  disabled: boolean;
  createdAt: string;
  /** Until when the secret before the last rotation is good; `null` when it is not any more. */
  oldSecretUntil: string | null;
};

/** A client with the SHA-256 hashes of the secrets that are good now, in seconds since 1970 by the database's clock. */
export type StoredClient = Pick<Client, 'id' | 'scopes' | 'disabled'> & { secretHashes: Buffer[]; now: number };

const COLUMNS = `id, scopes, disabled_at IS NOT NULL AS disabled, ${utc('created_at')} AS "createdAt",
  CASE WHEN previous_secret_until > now() THEN ${utc('previous_secret_until')} END AS "oldSecretUntil"`;

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

const INSERT = statement<{ id: string }, { id: string; secretHash: Buffer; scopes: string[]; origin: string }>(`
  WITH c AS (
    INSERT INTO auth.clients (id, secret_hash, scopes) VALUES ($id, $secretHash, $scopes) ON CONFLICT DO NOTHING RETURNING *
  ), ${recorded({
    event: 'client_created',
    from: 'c',
    client: 'c.id',
    details: `jsonb_build_object('scopes', c.scopes)`,
  })}
  SELECT id FROM c`);

/** Adds a client; `false` when there is one with that id. */
export async function insertClient(
  db: Queryable,
  client: { id: string; secretHash: Buffer; scopes: string[] },
  origin: Origin,
): Promise<boolean> {
  const added = await INSERT(db, { ...client, origin: originValue(origin) });
  return added.length > 0;
}

const REPLACE_SECRET = statement<{ id: string }, { id: string; secretHash: Buffer; graceS: number; origin: string }>(`
  WITH c AS (
    UPDATE auth.clients SET secret_hash = $secretHash, previous_secret_hash = secret_hash,
      previous_secret_until = now() + make_interval(secs => $graceS)
    WHERE id = $id RETURNING *
  ), ${recorded({ event: 'client_secret_rotated', from: 'c', client: 'c.id' })}
  SELECT id FROM c`);

/** Gives a client another secret; the one before stays good for `graceS` seconds. `false` when there is no such client. */
export async function replaceClientSecret(
  db: Queryable,
  client: { id: string; secretHash: Buffer; graceS: number },
  origin: Origin,
): Promise<boolean> {
  const replaced = await REPLACE_SECRET(db, { ...client, origin: originValue(origin) });
  return replaced.length > 0;
}

const setDisabled = (event: 'client_disabled' | 'client_enabled', disabledAt: string) =>
  statement<{ changed: boolean }, { id: string; origin: string }>(`
    WITH c AS (
      UPDATE auth.clients SET disabled_at = ${disabledAt}
      WHERE id = $id AND (disabled_at IS NULL) = (${disabledAt} IS NOT NULL) RETURNING *
    ), ${recorded({ event, from: 'c', client: 'c.id' })}
    SELECT EXISTS (SELECT FROM c) AS changed FROM auth.clients WHERE id = $id`);
const DISABLE = setDisabled('client_disabled', 'now()');
const ENABLE = setDisabled('client_enabled', 'NULL::timestamptz');

/** Disables or enables a client: whether that changed anything; `undefined` when there is no such client. */
export async function setClientDisabled(
  db: Queryable,
  { id, disabled }: { id: string; disabled: boolean },
  origin: Origin,
): Promise<boolean | undefined> {
  const [row] = await (disabled ? DISABLE : ENABLE)(db, { id, origin: originValue(origin) });
  return row?.changed;
}

const SET_SCOPES = statement<{ id: string }, { id: string; scopes: string[]; origin: string }>(`
  WITH c AS (
    UPDATE auth.clients SET scopes = $scopes WHERE id = $id RETURNING *
  ), ${recorded({
    event: 'client_scopes_changed',
    from: 'c',
    client: 'c.id',
    details: `jsonb_build_object('scopes', c.scopes)`,
  })}
  SELECT id FROM c`);

/** Gives a client other scopes; `false` when there is no such client. */
export async function setClientScopes(
  db: Queryable,
  client: { id: string; scopes: string[] },
  origin: Origin,
): Promise<boolean> {
  return (await SET_SCOPES(db, { ...client, origin: originValue(origin) })).length > 0;
}

const DELETE = statement<{ id: string }, { id: string; origin: string }>(`
  WITH c AS (
    DELETE FROM auth.clients WHERE id = $id RETURNING *
  ), ${recorded({ event: 'client_deleted', from: 'c', client: 'c.id' })}
  SELECT id FROM c`);

/** Deletes a client; `false` when there is no such client. */
export async function deleteClient(db: Queryable, id: string, origin: Origin): Promise<boolean> {
  return (await DELETE(db, { id, origin: originValue(origin) })).length > 0;
}
