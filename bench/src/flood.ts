// A flood of sign-ins that arrive evenly at a fixed rate, in a process of its own; tells its parent what came of it.
// Load generators send a second's requests all at once.
import { formatRequest, openConnections } from './connections.js';

const env = process.env;
const [rate, seconds] = [Number(env['RATE']), Number(env['SECONDS'])];
const url = env['URL'] as string;
const connections = openConnections(url);
const REQUEST = formatRequest(url, {}, JSON.parse(env['BODY'] as string));
const TICK_MS = 2;
const PATIENCE_MS = 20_000;

const accepted: number[] = [];
const refused: number[] = [];
let others = 0;
let inFlight = 0;

async function send(): Promise<void> {
  const sentAt = performance.now();
  inFlight++;
  const status = await connections.send(REQUEST).then(
    response => response.status,
    () => undefined,
  );
  inFlight--;
  const times = status === 200 ? accepted : status === 503 ? refused : undefined;
  if (times) times.push(performance.now() - sentAt);
  else others++;
}

const begin = performance.now();
let sent = 0;
const sending = setInterval(() => {
  const passed = performance.now() - begin;
  const due = (rate * Math.min(passed, seconds * 1000)) / 1000;
  for (; sent < due; sent++) void send();
  if (passed < seconds * 1000) return;
  clearInterval(sending);
  const waiting = setInterval(() => {
    if (inFlight > 0 && performance.now() - begin < seconds * 1000 + PATIENCE_MS) return;
    clearInterval(waiting);
    process.send?.({ accepted, refused, others: others + inFlight }, () => process.exit());
  }, TICK_MS);
}, TICK_MS);
