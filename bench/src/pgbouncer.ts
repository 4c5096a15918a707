import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import getPort from 'get-port';
import pg from 'pg';
import { stopsOnce } from './cleanup.js';

const CONFIG = new URL('../../deploy/pgbouncer/pgbouncer.ini', import.meta.url);
const NOBODY = 65534;
const READY_WITHIN_MS = 5000;

/** The version of the PgBouncer that is installed; `undefined` when none is. */
export function pgBouncerVersion(): string | undefined {
  const { status, stdout } = spawnSync('pgbouncer', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /\d+\.\d+\.\d+/.exec(stdout)?.[0] : undefined;
}

/** Starts PgBouncer with the settings of `deploy/`, with fewer connections than a replica has, before a database. */
export async function startPgBouncer(databaseUrl: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const url = new URL(databaseUrl);
  const port = await getPort({ host: '127.0.0.1' });
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-pgbouncer-'));
  const users = join(folder, 'users');
  const here: Record<string, string | number> = {
    ...{ latchkey: `host=${url.hostname} port=${url.port}`, listen_addr: '127.0.0.1', listen_port: port },
    ...{ auth_file: users, default_pool_size: 6 },
  };
  const settings = (await readFile(CONFIG, 'utf8')).replace(/^(\w+) = .*/gm, (line, name) =>
    name in here ? `${name === 'latchkey' ? '*' : name} = ${here[name]}` : line,
  );
  await writeFile(users, `"${url.username}" "${url.password}"\n`);
  await writeFile(join(folder, 'ini'), settings);
  await chmod(folder, 0o755);
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const bouncer = spawn('pgbouncer', [join(folder, 'ini')], { stdio: 'ignore', ...user });
  const exited = once(bouncer, 'exit');
  url.port = String(port);
  await waitUntilReady(url.href);
  return {
    url: url.href,
    stop: stopsOnce(async () => {
      bouncer.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true, force: true });
    }),
  };
}

async function waitUntilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const client = new pg.Client(url);
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await client.end();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
}
