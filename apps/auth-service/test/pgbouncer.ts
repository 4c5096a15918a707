import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import { until } from './helper.js';

const installed = spawnSync('pgbouncer', ['--version']).status === 0;
if (!installed && process.env['CI']) t.fail('pgbouncer is not installed, and in CI it must be');
/** Why tests that need PgBouncer are left out, if they are. */
export const withoutPgBouncer = installed ? false : 'pgbouncer is not installed';

/** Puts a real PgBouncer before a database; answers the URL that leads through it. */
export async function startPgBouncer(
  t: Test,
  databaseUrl: string,
  mode: 'session' | 'transaction',
): Promise<{ url: string; stop: () => Promise<void> }> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');

  const url = new URL(databaseUrl);
  const { hostname, username, password, port: behind } = url;
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-pgbouncer-'));
  writeFileSync(join(folder, 'users'), `"${username}" "${password}"\n`);
  writeFileSync(
    join(folder, 'ini'),
    `[databases]
* = host=${hostname} port=${behind}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${join(folder, 'users')}
pool_mode = ${mode}
`,
  );
  chmodSync(folder, 0o755);
  // It refuses to run as root.
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const bouncer = spawn('pgbouncer', [join(folder, 'ini')], { stdio: 'ignore', ...nobody });
  const exit = once(bouncer, 'exit');
  const stop = async () => {
    bouncer.kill('SIGKILL');
    await exit;
  };
  t.teardown(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });
  url.port = String(port);
  await until(async () => {
    const client = new pg.Client(url.href);
    client.on('error', () => undefined);
    return client.connect().then(
      () => client.end().then(() => true),
      () => false,
    );
  }, 'PgBouncer passes us on');
  return { url: url.href, stop };
}
