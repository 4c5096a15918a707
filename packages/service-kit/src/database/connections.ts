import type { ClientBase, ClientConfig } from 'pg';

const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 5000;
// When the server is silent, its own timeout cannot help.
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 1000;
const LIMITS = `SELECT set_config(name, value, false)
  FROM (VALUES ('statement_timeout', '${STATEMENT_TIMEOUT_MS}'), ('lock_timeout', '2000'),
    ('idle_in_transaction_session_timeout', '5000')) AS limits (name, value)
  WHERE current_setting(name) = '0'`;

/** How a service connects: nothing is waited for longer than a few seconds, so that its callers are told in time. */
export function connectionConfig(databaseUrl: string, applicationName: string): ClientConfig {
  return {
    connectionString: databaseUrl,
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
  };
}

/** Sets limits where the role has none of its own. Not as start-up parameters: PgBouncer refuses those. */
export async function setLimits(client: ClientBase): Promise<void> {
  await client.query(LIMITS);
}
