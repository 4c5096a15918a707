import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { waitFor } from '../services.js';

/** Where the services are; there may be several of each. */
export type Upstreams = { auth: string[]; notes: string[] };

/**
 * What not every gateway can do:
 * - `ask` auth-service before it passes anything on to notes-service
 * - `resend` a call that may be made twice to another replica when the first one broke the connection
 * - `identify` requests by an id of its own
 * - `drop underscores`, that is, header fields with one in their name
 * - `explain` its own refusals as the services do, with a problem
 * - `demand` a second factor before it passes anything on below /notes/vault
 */
type Feature = 'ask' | 'resend' | 'identify' | 'drop underscores' | 'explain' | 'demand';

/** A kind of gateway, with its configuration in `deploy/`. */
export type Gateway = {
  name: string;
  can: Feature[];
  /** Reason to skip its tests, or `false`. */
  skip: string | false;
  /** Runs it with the configuration of `deploy/`, and tells where. */
  start: (t: Test, upstreams: Upstreams) => Promise<string>;
};

/** Whether a program is there. In CI it must be, unless Debian does not have it. */
export function skipWithout(
  program: string,
  argument: string,
  { isInDebian }: { isInDebian: boolean },
): string | false {
  if (spawnSync(program, [argument]).status === 0) return false;
  if (isInDebian && process.env['CI']) t.fail(`${program} is not installed, and in CI it must be`);
  return `${program} is not installed`;
}

export function readConfiguration(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../../../deploy/${path}`, import.meta.url)), 'utf8');
}

/** The example of a step-up, for paths below others that need only a token: its demand must hold, not theirs. */
export function readStepUp(path: string): string {
  return readConfiguration(path).replaceAll('/vault', '/notes/vault');
}

/** Puts the addresses of the test in the place of those that a configuration has as an example, `auth-1:3000` and so on. */
export function placeUpstreams(configuration: string, { auth, notes }: Upstreams): string {
  return configuration.replace(/(auth|notes)-([12]):300[01]/g, (_, service, number) => {
    const urls = service === 'auth' ? auth : notes;
    return new URL((urls[number - 1] ?? urls[0]) as string).host;
  });
}

/** Starts a gateway's process, which ends with the test, and waits until it listens. */
export async function run(
  t: Test,
  port: number,
  program: string,
  parameters: string[],
  { cwd, endWith = 'SIGTERM' }: { cwd?: string; endWith?: NodeJS.Signals } = {},
): Promise<string> {
  const child: ChildProcess = spawn(program, parameters, {
    stdio: 'ignore',
    ...(cwd && { cwd }),
  });
  let ended: number | null | undefined;
  child.once('close', code => {
    ended = code;
  });
  t.teardown(async () => {
    if (ended !== undefined) return;
    child.kill(endWith);
    await once(child, 'close');
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor(url, () => ended === undefined);
  return url;
}
