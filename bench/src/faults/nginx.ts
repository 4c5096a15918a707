import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import getPort from 'get-port';
import { stopsOnce } from '../cleanup.js';
import { call, waitUntil } from './calls.js';

const TEMPLATE = new URL('../../../deploy/nginx/gateway.conf.template', import.meta.url);

export const hasNginx = (): boolean => spawnSync('nginx', ['-v']).status === 0;

/** Runs a real nginx as the gateway of these services, with the configuration that is deployed. */
export async function startGateway(
  replicas: string[],
  notes: string[] = [],
): Promise<{ url: string; stop: () => Promise<void> }> {
  const port = await getPort({ host: '127.0.0.1' });
  // Where nobody asks for notes.
  const nothing = `http://127.0.0.1:${await getPort({ host: '127.0.0.1' })}`;
  const servers = (urls: string[]) => urls.map(url => `server ${new URL(url).host} fail_timeout=2s;`).join(' ');
  const values: Record<string, string> = {
    AUTH_SERVERS: servers(replicas),
    NOTES_SERVERS: servers(notes.length > 0 ? notes : [nothing]),
    GATEWAY_LISTEN: `127.0.0.1:${port}`,
  };
  const server = (await readFile(TEMPLATE, 'utf8')).replace(/\$\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-gateway-'));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${join(folder, name)};`,
  );
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
     events {} http { access_log off; ${temporary.join(' ')} include server.conf; }`,
  );
  await writeFile(join(folder, 'server.conf'), server);
  const nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'error.log'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(nginx, 'close');
  const stop = stopsOnce(async () => {
    nginx.kill('SIGQUIT');
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${port}`;
  await waitUntil('nginx answers', async () => (await call(`${url}/`)).status === 404, 10_000);
  return { url, stop };
}
