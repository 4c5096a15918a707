import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Service } from './helper.js';

export const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

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

/** Runs it to its end. */
export function commandLine(service: Service) {
  return async (args: string, input = '', more: Record<string, string> = {}) => {
    const child = startLatchkey(service, args, more);
    // It may refuse before it has read all.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number | null>(resolve => child.once('close', resolve)),
    ]);
    return { stdout, stderr, code };
  };
}
