import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { formatSignIn, type SignIn } from './peers/peer.js';

const CROWD = new URL('crowd.js', import.meta.url);
const FLOOD = new URL('flood.js', import.meta.url);
const GENERATOR = new URL('generator.js', import.meta.url);
const NEIGHBOUR = new URL('neighbour.js', import.meta.url);
const PULSE = new URL('pulse.js', import.meta.url);

/** What came of a flood of sign-ins: the times of the accepted and the refused in ms, and how many were neither. */
export type Flood = { accepted: number[]; refused: number[]; others: number };

/** Sign-ins that arrive at a fixed rate, from a process of its own. */
export async function startFlood(url: string, body: object, perSecond: number, seconds: number): Promise<Flood> {
  const child: ChildProcess = fork(FLOOD, {
    env: {
      PATH: process.env['PATH'],
      URL: url,
      BODY: JSON.stringify(body),
      RATE: String(Math.ceil(perSecond)),
      SECONDS: String(seconds),
    },
  });
  const [flood] = (await once(child, 'message')) as [Flood];
  child.disconnect();
  return flood;
}

/**
 * Keeps one core busy, at normal priority.
 *
 * @returns what ends it
 */
export function startNeighbour(): () => void {
  const child = fork(NEIGHBOUR, { env: { PATH: process.env['PATH'] } });
  return () => void child.kill('SIGKILL');
}

/**
 * So many people who sign in again and again, from a process of its own. One who is refused waits as told if patient, and
 * comes back at once if not.
 *
 * @returns what ends it and tells what came of it, in how many seconds
 */
export function startCrowd(
  signIn: SignIn,
  people: number,
  patient: boolean,
): () => Promise<Flood & { seconds: number }> {
  const child = fork(CROWD, {
    env: {
      PATH: process.env['PATH'],
      URL: signIn.url,
      REQUEST: JSON.stringify(formatSignIn(signIn)),
      PEOPLE: String(people),
      PATIENT: String(patient),
    },
  });
  const ended = once(child, 'message') as Promise<[Flood & { seconds: number }]>;
  return async () => {
    child.send('end');
    const [crowd] = await ended;
    return crowd;
  };
}

/**
 * Asks for a URL a hundred times a second, from a process of its own, which nothing else keeps busy.
 *
 * @returns what ends it and tells how long each answer took, in ms
 */
export function startPulse(url: string): () => Promise<number[]> {
  const child = fork(PULSE, { env: { PATH: process.env['PATH'], URL: url } });
  const ended = once(child, 'message') as Promise<[number[]]>;
  return async () => {
    child.send('end');
    const [beats] = await ended;
    return beats;
  };
}

/** Requests that are sent as fast as they are answered. Without bodies they are one GET again and again. */
export type Load = {
  url: string;
  headers?: Record<string, string>;
  connections: number;
  seconds: number;
  bodies?: object[];
  /**
   * A member of each response that is the next body in place of the one that it answers, such as a refresh token. There must then be
   * as many bodies as connections, or more.
   */
  follows?: string;
};

/** How many requests were answered; and the bodies that would come next. */
export type LoadResult = { requests: number; seconds: number; bodies: object[] };

/** A process that generates load; see `generator.ts`. */
export type LoadGenerator = {
  pid: number;
  /** Rejects when a response is not 2xx. */
  send(load: Load): Promise<LoadResult>;
  stop(): void;
};

/** Starts a load generator, which runs one load after the other. */
export function startGenerator(): LoadGenerator {
  const child = fork(GENERATOR, { env: { PATH: process.env['PATH'] } });
  const exited = once(child, 'exit').then(() => Promise.reject(new Error('The load generator ended.')));
  exited.catch(() => undefined);
  return {
    pid: child.pid as number,
    async send(load) {
      child.send(load);
      const [result] = (await Promise.race([once(child, 'message'), exited])) as [LoadResult | { failure: string }];
      if ('failure' in result) throw new Error(`${load.url}: ${result.failure}`);
      return result;
    },
    stop: () => void (child.connected && child.disconnect()),
  };
}

/** Calls arrive at a fixed rate, whether those before are answered or not; how long each took since it was due, in ms. */
export async function arrive(call: () => Promise<unknown>, perSecond: number, seconds: number): Promise<number[]> {
  const begin = performance.now();
  const calls: Promise<number>[] = [];
  for (let i = 0; i < perSecond * seconds; i++) {
    const due = begin + (i * 1000) / perSecond;
    const early = due - performance.now();
    if (early > 1) await new Promise(resolve => setTimeout(resolve, early));
    // A timer may end a little early.
    const since = Math.min(due, performance.now());
    const timed = call().then(() => performance.now() - since);
    // Told at the end, and by then it must not have ended the process.
    timed.catch(() => undefined);
    calls.push(timed);
  }
  return Promise.all(calls);
}

/** Calls per second with some always in flight. */
export async function peak(call: () => Promise<unknown>, inFlight: number, seconds: number): Promise<number> {
  const begin = performance.now();
  let calls = 0;
  const worker = async () => {
    while (performance.now() < begin + seconds * 1000) {
      await call();
      calls++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (calls * 1000) / (performance.now() - begin);
}
