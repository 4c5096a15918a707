import type { Queryable } from '@latchkey/service-kit/database';
import type { QueryResultRow } from 'pg';

/** Runs a statement with the values of its parameters, by name. */
export type Statement<Row, Values> = (db: Queryable, values: Values) => Promise<Row[]>;

/**
 * A statement with named parameters, such as `$accountId`: fragments that use one name share one value. Cast them where
 * PostgreSQL cannot infer the type. The text is translated once, when the module is loaded.
 */
export function statement<Row extends QueryResultRow, Values extends object = Record<never, never>>(
  text: string,
): Statement<Row, Values> {
  const names: string[] = [];
  const numbered = text.replace(/\$([a-z]\w*)/gi, (_, name: string) => {
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  return async (db, values) => {
    const { rows } = await db.query<Row>(
      numbered,
      names.map(name => (values as Record<string, unknown>)[name]),
    );
    return rows;
  };
}

/** A time as RFC 3339, UTC. */
export const utc = (time: string) => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** A time as whole seconds since 1970, as in a JWT. */
export const epoch = (time: string) => `floor(extract(epoch FROM ${time}))::float8`;

/** Rejects when the database takes no writes, as a standby, or lacks our tables. Waits for no lock. */
export async function assertWritable(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ readOnly: string }>(
    `SELECT current_setting('transaction_read_only') AS "readOnly", 'auth.sessions'::regclass`,
  );
  // The code with which PostgreSQL rejects a write for this reason.
  if (rows[0]?.readOnly === 'on') throw Object.assign(new Error('The database takes no writes.'), { code: '25006' });
}
