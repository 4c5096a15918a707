import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import getPort from 'get-port';
import { never, progress, type Row } from '../report.js';
import type { Stage } from '../stage.js';
import { sleep } from './calls.js';

const BUSY = 24;
const IDLE = 24;
const CALM_MS = 500;
// While the service still accepts connections, and says that each ends with its answer.
const LATE_REQUEST_MS = 500;
const REQUEST = 'GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n';

/** What clients that are connected to the service itself see of its restarts. */
export async function restartUnderClients(stage: Stage, count: number): Promise<{ rows: Row[]; evidence: string[] }> {
  const port = await getPort({ host: '127.0.0.1' });
  const resets: string[] = [];
  const refusals: string[] = [];
  const badExits: string[] = [];
  const late: string[] = [];
  let requests = 0;

  for (let restarts = 1; restarts <= count; restarts++) {
    progress(`restart ${restarts} of ${count} under direct connections: ${requests} requests`);
    const server = await stage.start({ PORT: String(port) });
    let closingSince: number | undefined;
    const when = () => (closingSince ? `${Math.round(performance.now() - closingSince)} ms after SIGTERM` : 'before');
    const idle = await Promise.all(Array.from({ length: IDLE }, (_, i) => connectIdle(port, i % 2 === 0)));
    const work = async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        const outcome = await get(port, agent);
        if (outcome.error === 'ECONNREFUSED') break;
        requests++;
        if (outcome.status !== undefined && outcome.status !== 200) refusals.push(`${when()}: ${outcome.status}`);
        if (outcome.error !== undefined && outcome.isReused) resets.push(`${when()}: busy: ${outcome.error}`);
        // Its connection waited for the service to accept it when that stopped listening.
        if (outcome.error !== undefined && !outcome.isReused) late.push(`${outcome.error} ${when()}`);
      }
      agent.destroy();
    };
    const working = Promise.all(Array.from({ length: BUSY }, work));
    await sleep(CALM_MS);
    closingSince = performance.now();
    server.child.kill('SIGTERM');
    await sleep(LATE_REQUEST_MS);
    for (const client of idle) client.askLate();
    const exit = await server.exited;
    if (exit !== 0) badExits.push(String(exit));
    await working;
    for (const client of idle) {
      const complaint = await client.complaint();
      if (complaint) resets.push(`idle: ${complaint}`);
    }
  }
  return {
    rows: [
      never('directly: resets of connections in use or idle', resets.length, `${requests} requests, ${count} restarts`),
      never('directly: answers other than 200', refusals.length),
      never('directly: exits other than 0', badExits.length, badExits.join(' ')),
      {
        what: 'directly: new connections reset as it stops listening',
        measured: late.length,
        reference: late[0] ?? '',
        promise: '',
      },
    ],
    evidence: [...resets, ...refusals].map(line => `directly: ${line}`),
  };
}

type Outcome = { status?: number; error?: string; isReused: boolean };

function get(port: number, agent: Agent): Promise<Outcome> {
  return new Promise(resolve => {
    const asking = request({ host: '127.0.0.1', port, path: '/livez', agent }, (answer: IncomingMessage) => {
      answer.resume();
      answer.once('end', () => resolve({ status: answer.statusCode as number, isReused: asking.reusedSocket }));
      answer.once('error', (error: NodeJS.ErrnoException) => fail(error));
    });
    const fail = ({ code, message }: NodeJS.ErrnoException) =>
      resolve({ error: code ?? message, isReused: asking.reusedSocket });
    asking.once('error', fail).end();
  });
}

/**
 * A connection that is left idle after an answer. The service must end it without a reset; one that asks while the service
 * is about to close must get its answer first.
 */
async function connectIdle(port: number, asksLate: boolean) {
  const socket: Socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let received = '';
  let failure: string | undefined;
  socket.on('data', chunk => {
    received += chunk;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code ?? error.message;
  });
  const ended = once(socket, 'close');
  socket.write(REQUEST);
  await once(socket, 'data');
  let asked = false;
  return {
    askLate() {
      if (!asksLate || !socket.writable) return;
      asked = true;
      socket.write(REQUEST);
    },
    async complaint(): Promise<string | undefined> {
      await Promise.race([ended, sleep(1000)]);
      socket.destroy();
      if (failure) return failure;
      const answers = received.split('HTTP/1.1 200 ').length - 1;
      return asked && answers < 2 ? 'asked late, and got no answer' : undefined;
    },
  };
}
