import { type ChildProcess, type ChildProcessWithoutNullStreams, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Service } from './helper.js';

export const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

/** A command for `command-host.ts`. */
export type Command = { cli: string; args: string[]; env: NodeJS.ProcessEnv; input: string };

/** What a command wrote, and the exit code of its process. */
export type Result = { stdout: string; stderr: string; code: number };

/** The settings of a service, as the command line takes them. */
export function environment({ config }: Service): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    DATABASE_URL: config.databaseUrl,
    AUTH_SECRETS: config.authSecrets.map(({ id, key }) => `${id}:${key.toString('base64')}`).join(),
    PUBLIC_URL: config.publicUrl,
    BCRYPT_COST: String(config.bcryptCost),
    NODE_ENV: 'production',
  };
}

/**
 * Starts the built command line on the database of a service, with its settings, outside the repository: a file that it
 * takes for one to write must not end up among the sources.
 */
export function startLatchkey(
  service: Service,
  args: string,
  more: Record<string, string> = {},
): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [CLI, ...args.split(' ')], {
    cwd: tmpdir(),
    env: { ...environment(service), ...more },
  });
}

let host: ChildProcess | undefined;
let last: Promise<unknown> = Promise.resolve();

/** Runs commands to their ends, one at a time, in a process that outlives them. */
export function commandLine(service: Service) {
  return (args: string, input = '', more: Record<string, string> = {}): Promise<Result> => {
    const command = { cli: CLI, args: args.split(' '), env: { ...environment(service), ...more }, input };
    const result = last.then(() => runInHost(command));
    last = result.catch(() => undefined);
    return result;
  };
}

async function runInHost(command: Command): Promise<Result> {
  host ??= startHost();
  host.send(command);
  const ended = new AbortController();
  const [result] = await Promise.race([
    once(host, 'message', ended),
    once(host, 'exit', ended).then(([code]) => {
      throw new Error(`latchkey ${command.args.join(' ')} ended its process with ${code}`);
    }),
  ]).finally(() => ended.abort());
  return result as Result;
}

function startHost(): ChildProcess {
  const child = fork(fileURLToPath(new URL('command-host.js', import.meta.url)), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  t.teardown(() => child.kill());
  return child;
}
