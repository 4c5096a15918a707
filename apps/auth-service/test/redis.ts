import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';

const installed = spawnSync('redis-server', ['--version']).status === 0;
if (!installed && process.env['CI']) t.fail('redis-server is not installed, and in CI it must be');
/** Why tests that need Redis are left out, if they are. */
export const withoutRedis = installed ? false : 'redis-server is not installed';

/** Runs a Redis of its own. `start` starts it again on the same port, with nothing in it. */
export async function startRedis(t: Test) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const url = `redis://127.0.0.1:${port}`;
  let server: ChildProcess;
  const start = async () => {
    const options = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', t.testdir()];
    server = spawn('redis-server', options.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const chunk of server.stdout ?? []) if (/Ready to accept connections/.test(String(chunk))) break;
  };
  const signal = (name: NodeJS.Signals) => server.kill(name);
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  };
  await start();
  t.teardown(stop);
  return { url, start, stop, signal };
}
