import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import getPort from 'get-port';
import { stopsOnce } from '../cleanup.js';
import { call, waitUntil } from './calls.js';

const CONFIGURATION = new URL('../../../deploy/haproxy/haproxy.cfg', import.meta.url);

export const hasHaproxy = (): boolean => spawnSync('haproxy', ['-v']).status === 0;

/** Runs a real HAProxy as the gateway of these services, with the configuration that is deployed. */
export async function startHaproxy(auth: string, notes: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const port = await getPort({ host: '127.0.0.1' });
  const hosts: Record<string, string> = { auth: new URL(auth).host, notes: new URL(notes).host };
  const configuration = (await readFile(CONFIGURATION, 'utf8'))
    .replace(/(auth|notes)-[12]:300[01]/g, (all, service) => hosts[service] ?? all)
    .replace('bind :8080', `bind 127.0.0.1:${port}`);
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-haproxy-'));
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, configuration);
  const haproxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  const ended = once(haproxy, 'close');
  const stop = stopsOnce(async () => {
    haproxy.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${port}`;
  await waitUntil('HAProxy answers', async () => (await call(`${url}/`)).status === 404, 10_000);
  return { url, stop };
}
