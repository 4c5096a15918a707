import { connect, type Socket } from 'node:net';
import { sleep } from '../calls.js';
import type { Choose } from './requests.js';

/** Sends something of a request, or of several, before the connection is reset. */
type Stage = (socket: Socket, choose: Choose) => Promise<unknown>;

// A hash takes that long, and a long poll has begun by then.
const LONGEST_WAIT_MS = 40;
const LONGEST_CONNECT_MS = 10_000;

const send = (socket: Socket, text: string) => new Promise<void>(resolve => socket.write(text, () => resolve()));

const whole = (choose: Choose) => {
  const { head, body } = choose();
  return head + body;
};

const part = (text: string) => text.slice(0, 1 + Math.floor(Math.random() * (text.length - 1)));

/** Where a request may be when its connection is reset. */
export const STAGES: Record<string, Stage> = {
  'before anything': async () => undefined,
  'before the headers end': (socket, choose) => send(socket, part(choose().head)),
  'within the body': async (socket, choose) => {
    let request = choose();
    while (!request.body) request = choose();
    await send(socket, request.head + part(request.body).slice(0, -1));
  },
  'right after the request': (socket, choose) => send(socket, whole(choose)),
  'while it is served': async (socket, choose) => {
    await send(socket, whole(choose));
    await sleep(Math.random() * LONGEST_WAIT_MS);
  },
  pipelined: async (socket, choose) => {
    const count = 2 + Math.floor(Math.random() * 30);
    await send(socket, Array.from({ length: count }, () => whole(choose)).join(''));
    if (Math.random() < 0.5) await sleep(Math.random() * LONGEST_WAIT_MS);
  },
  'within the response': async (socket, choose) => {
    await send(socket, whole(choose));
    await Promise.race([new Promise(resolve => socket.once('data', resolve)), sleep(LONGEST_WAIT_MS)]);
  },
};

/** Connects, sends what the stage says, and resets the connection; resolves when it is closed. */
export function reset(port: number, stage: Stage, choose: Choose): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(LONGEST_CONNECT_MS, () => socket.destroy());
    // The service, or a gateway, may have closed it before.
    socket.on('error', () => undefined).once('close', () => resolve());
    socket.once('connect', () => void stage(socket, choose).then(() => socket.resetAndDestroy()));
  });
}
