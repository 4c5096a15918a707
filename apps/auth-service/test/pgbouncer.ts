import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import getPort from 'get-port';
import pg from 'pg';
import t, { type Test } from 'tap';
import { until } from './helper.js';

const CONFIG = fileURLToPath(new URL('../../../deploy/pgbouncer/pgbouncer.ini', import.meta.url));

const installed = spawnSync('pgbouncer', ['--version']).status === 0;
if (!installed && process.env['CI']) t.fail('pgbouncer is not installed, and in CI it must be');
/** Why tests that need PgBouncer are left out, if they are. */
export const withoutPgBouncer = installed ? false : 'pgbouncer is not installed';

/** Puts a real PgBouncer, with the settings of `deploy/`, before a database; answers the URL that leads through it. */
export async function startPgBouncer(
  t: Test,
  databaseUrl: string,
  mode: 'session' | 'transaction',
): Promise<{ url: string; stop: () => Promise<void> }> {
  const url = new URL(databaseUrl);
  const { hostname, username, password, port: behind } = url;
  const port = await getPort({ host: '127.0.0.1' });
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-pgbouncer-'));
  const users = join(folder, 'users');
  writeFileSync(users, `"${username}" "${password}"\n`);
  const here: Record<string, string | number> = {
    ...{ latchkey: `host=${hostname} port=${behind}`, listen_addr: '127.0.0.1', listen_port: port },
    // Fewer connections than a service has.
    ...{ auth_file: users, pool_mode: mode, default_pool_size: mode === 'transaction' ? 3 : 20 },
  };
  const settings = readFileSync(CONFIG, 'utf8').replace(/^(\w+) = .*/gm, (line, name) => {
    return name in here ? `${name === 'latchkey' ? '*' : name} = ${here[name]}` : line;
  });
  writeFileSync(join(folder, 'ini'), settings);
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
