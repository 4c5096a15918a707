import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import getPort from 'get-port';

/** A server in a process of its own. */
export type Server = {
  url: string;
  startedInMs: number;
  child: ChildProcess;
  /** How it ended, once it has: an exit code, or a signal. */
  exited: Promise<number | string>;
  /** Asks it to end and waits for that. */
  stop: () => Promise<void>;
};

/**
 * Runs a server that says over IPC when it is ready; on a free port unless one is given.
 *
 * @param onSpawn gets the process before it is ready, and may read its standard output
 */
export async function startServer(
  script: URL,
  env: Record<string, string>,
  onSpawn?: (child: ChildProcess) => void,
): Promise<Server> {
  const port = env['PORT'] ?? String(await getPort({ host: '127.0.0.1' }));
  const before = performance.now();
  const child = spawn(process.execPath, [script.pathname], {
    env: { PATH: process.env['PATH'], ...env, PORT: port },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  onSpawn?.(child);
  // Read by nobody else, it must not fill up.
  child.stdout?.resume();
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  await Promise.race([once(child, 'message'), exited.then(() => Promise.reject(new Error(`${script} ended`)))]);
  const startedInMs = performance.now() - before;
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
  };
  return { url: `http://127.0.0.1:${port}`, startedInMs, child, exited, stop };
}
