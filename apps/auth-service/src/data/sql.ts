import type { Pool, PoolClient } from 'pg';

/** Anything that runs a query: the pool, or a client inside a transaction. */
export type Queryable = Pick<Pool | PoolClient, 'query'>;

/** A time as RFC 3339, UTC. */
export const utc = (time: string) => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** A time as whole seconds since 1970, as in a JWT. */
export const epoch = (time: string) => `floor(extract(epoch FROM ${time}))::float8`;
