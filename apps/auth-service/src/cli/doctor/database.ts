import pg from 'pg';
import { isLoopback } from '../../config/hosts.js';
import { type Connection, streamOf } from './connection.js';
import { duration, type Finding, fail, ok, plural, warn } from './finding.js';

const NAME = 'database';
const OLDEST = 15;
const NEWEST = 18;
const SAMPLES = 5;
// Every refresh waits for one round trip, and a sign-in for three.
const FAR_MS = 10;
// Without the one outside the pool, which listens.
const CONNECTIONS = pg.defaults.poolSize ?? 10;

type Facts = {
  version: number;
  versionText: string;
  encoding: string;
  standby: boolean;
  readOnly: boolean;
  settings: Record<string, string>;
};

/** Checks the version, role and safety of the server. */
export async function checkDatabase(connection: Connection): Promise<Finding[]> {
  const { host, port, user, database } = connection.client;
  const facts = await connection.read(async db => {
    const { rows } = await db.query<Facts>(
      `SELECT current_setting('server_version_num')::int / 10000 AS version,
         current_setting('server_version') AS "versionText", current_setting('server_encoding') AS encoding,
         pg_is_in_recovery() AS standby,
         (SELECT setting = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only') AS "readOnly",
         (SELECT jsonb_object_agg(name, setting) FROM pg_settings
          WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')) AS settings`,
    );
    return rows[0] as Facts;
  });
  const { version, versionText, encoding, standby, readOnly, settings } = facts;
  const roundTripMs = await measureRoundTrip(connection);
  const where = connection.embedded
    ? 'embedded'
    : `"${database}" at ${host.startsWith('/') ? host : `${host}:${port}`}`;
  const unsafe = Object.keys(settings).filter(name => settings[name] === 'off');

  const findings: (Finding | false)[] = [
    version < OLDEST
      ? fail(NAME, `PostgreSQL ${versionText} is too old`, `Upgrade it to ${OLDEST} or newer.`)
      : ok(NAME, `PostgreSQL ${versionText}, ${where}, as "${user}", ${duration(roundTripMs)} away`),
    version > NEWEST &&
      warn(NAME, `the service was not tested with PostgreSQL ${version}`, `Use a version from ${OLDEST} to ${NEWEST}.`),
    roundTripMs > FAR_MS &&
      warn(
        NAME,
        `a round trip takes ${duration(roundTripMs)}, which every request waits for`,
        'Run the service close to the database.',
      ),
    encoding !== 'UTF8' &&
      (encoding === 'SQL_ASCII' ? warn : fail)(
        NAME,
        `its encoding is ${encoding}, which cannot store everything that clients send`,
        `Create another one: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.`,
      ),
    standby && fail(NAME, 'it is a standby, which is read-only', 'Set DATABASE_URL to the primary.'),
    readOnly &&
      fail(
        NAME,
        'default_transaction_read_only is on: no account can sign in',
        `Turn it off for the role: ALTER ROLE "${user}" SET default_transaction_read_only = off.`,
      ),
    unsafe.length > 0 &&
      warn(
        NAME,
        `a crash can lose acknowledged changes: ${unsafe.map(name => `${name}=off`).join(', ')}`,
        'Set them to on.',
      ),
    ...checkTls(connection),
  ];
  return findings.filter(finding => finding !== false);
}

async function measureRoundTrip({ client }: Connection): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const before = performance.now();
    await client.query('SELECT 1');
    times.push(performance.now() - before);
  }
  return times.sort((a, b) => a - b)[Math.floor(SAMPLES / 2)] as number;
}

function checkTls({ client }: Connection): Finding[] {
  const name = 'database-tls';
  // Only a TLS socket has it.
  const { authorized } = streamOf(client);
  if (authorized === true) return [ok(name, 'the connection is encrypted, and the certificate is verified')];
  if (authorized === false) {
    const advice = 'Set sslmode=verify-full, and sslrootcert when the certificate is of a private authority.';
    return [warn(name, 'the connection is encrypted, but the certificate of the server is not verified', advice)];
  }
  if (isLoopback(client.host)) return [ok(name, 'not needed: the database is on this machine')];
  const advice = 'Add ?sslmode=verify-full to DATABASE_URL, unless the network itself encrypts.';
  return [warn(name, 'the connection is not encrypted: it can be read and changed on the network', advice)];
}

type Room = { max: number; used: number; roleLimit: number; roleUsed: number };

/** Checks whether there are enough connections for a replica. */
export async function checkConnections(connection: Connection): Promise<Finding[]> {
  const name = 'connections';
  const { max, used, roleLimit, roleUsed } = await connection.read(async db => {
    const { rows } = await db.query<Room>(
      `SELECT (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)::int FROM pg_settings
           WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')) AS max,
         (SELECT sum(numbackends)::int FROM pg_stat_database) AS used,
         (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS "roleLimit",
         (SELECT count(*)::int FROM pg_stat_activity WHERE usename = current_user) AS "roleUsed"`,
    );
    return rows[0] as Room;
  });
  const needed = CONNECTIONS + 1;
  const detail = `${used} of ${max} in use; a replica opens up to ${needed}`;
  if (roleLimit >= 0 && roleLimit < needed) {
    const advice = `Run ALTER ROLE … CONNECTION LIMIT with ${needed} for each replica.`;
    return [
      warn(
        name,
        `the role may have ${roleLimit}, of which ${roleUsed} are in use; a replica opens up to ${needed}`,
        advice,
      ),
    ];
  }
  if (max < needed) return [fail(name, detail, 'Raise max_connections.')];
  if (max - used < needed) {
    const advice = 'Raise max_connections or use a pooler, unless the connections in use are of the running replicas.';
    return [warn(name, detail, advice)];
  }
  return [ok(name, `${detail}, so there is room for ${plural(Math.floor((max - used) / needed), 'replica')} more`)];
}
