// A flood of sign-ins that arrive evenly at a fixed rate, in a process of its own; tells its parent what came of it.
// It speaks HTTP by hand: the machine's two cores are to be spent on the service, and load generators send a second's
// requests all at once.
import { connect, type Socket } from 'node:net';

const env = process.env;
const [rate, seconds] = [Number(env['RATE']), Number(env['SECONDS'])];
const { hostname, port, pathname } = new URL(env['URL'] as string);
const body = env['BODY'] as string;
const REQUEST = Buffer.from(
  `POST ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
);
const TICK_MS = 2;
const PATIENCE_MS = 20_000;

const accepted: number[] = [];
const refused: number[] = [];
let others = 0;
let inFlight = 0;
const idle: Socket[] = [];

/** Sends a request on a connection that nobody uses, or a new one. */
function send(): void {
  const sentAt = performance.now();
  const socket = idle.pop() ?? connect(Number(port), hostname);
  let answer = '';
  inFlight++;
  const end = (status: string) => {
    socket.removeAllListeners();
    inFlight--;
    const times = status === '200' ? accepted : status === '503' ? refused : undefined;
    if (times) times.push(performance.now() - sentAt);
    else others++;
  };
  const fail = () => end('none');
  socket
    .on('error', fail)
    .on('close', fail)
    .on('data', chunk => {
      answer += chunk.toString('latin1');
      const bodyAt = answer.indexOf('\r\n\r\n') + 4;
      const length = Number(/content-length: (\d+)/i.exec(answer.slice(0, bodyAt))?.[1]);
      if (bodyAt < 4 || answer.length < bodyAt + length) return;
      end(answer.slice(9, 12));
      // Nobody listens while it waits for its next use.
      socket.on('error', () => undefined);
      idle.push(socket);
    });
  socket.write(REQUEST);
}

const begin = performance.now();
let sent = 0;
const sending = setInterval(() => {
  const passed = performance.now() - begin;
  const due = (rate * Math.min(passed, seconds * 1000)) / 1000;
  for (; sent < due; sent++) send();
  if (passed < seconds * 1000) return;
  clearInterval(sending);
  const waiting = setInterval(() => {
    if (inFlight > 0 && performance.now() - begin < seconds * 1000 + PATIENCE_MS) return;
    clearInterval(waiting);
    process.send?.({ accepted, refused, others: others + inFlight }, () => process.exit());
  }, TICK_MS);
}, TICK_MS);
