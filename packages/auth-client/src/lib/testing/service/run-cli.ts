import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Runs the command line of the auth-service, and returns what it prints.
 *
 * @throws Error with what it says on standard error when it fails
 */
export async function runCli(cli: string, args: string[], settings: Record<string, string>): Promise<string> {
  const { stdout } = await run(process.execPath, [cli, ...args], { env: settings }).catch(cause => {
    throw new Error(`latchkey ${args.join(' ')} failed: ${cause.stderr.trim()}`, { cause });
  });
  return stdout;
}
