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

/** Runs a real nginx as the gateway of these replicas, with the configuration that is deployed. */
export async function startGateway(replicas: string[]): Promise<{ url: string; stop: () => Promise<void> }> {
  const port = await getPort({ host: '127.0.0.1' });
  const hosts = replicas.map(url => new URL(url).host);
  // Nobody asks for notes.
  const notes = `127.0.0.1:${await getPort({ host: '127.0.0.1' })}`;
  const values: Record<string, string> = {
    AUTH_SERVERS: hosts.map(host => `server ${host} fail_timeout=2s;`).join(' '),
    NOTES_SERVERS: `server ${notes};`,
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
