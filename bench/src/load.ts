import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

const CROWD = new URL('crowd.js', import.meta.url);
const FLOOD = new URL('flood.js', import.meta.url);
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
 * So many people who sign in again and again, from a process of its own. One who is refused waits as told if patient, and
 * comes back at once if not.
 *
 * @returns what ends it and tells what came of it, in how many seconds
 */
export function startCrowd(
  { url, body }: { url: string; body: object },
  people: number,
  patient: boolean,
): () => Promise<Flood & { seconds: number }> {
  const child = fork(CROWD, {
    env: {
      PATH: process.env['PATH'],
      URL: url,
      BODY: JSON.stringify(body),
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

/** Calls arrive at a fixed rate, whether those before are answered or not; how long each took since it was due, in ms. */
export async function arrive(call: () => Promise<unknown>, perSecond: number, seconds: number): Promise<number[]> {
  const begin = performance.now();
  const calls: Promise<number>[] = [];
  for (let i = 0; i < perSecond * seconds; i++) {
    const due = begin + (i * 1000) / perSecond;
    const early = due - performance.now();
    if (early > 1) await new Promise(resolve => setTimeout(resolve, early));
    calls.push(call().then(() => performance.now() - due));
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
