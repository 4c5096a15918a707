// A crowd that signs in, everyone again and again, in a process of its own; ends when its parent says so, when the last
// has its answer, and tells what came of it.
import { setTimeout } from 'node:timers/promises';

const env = process.env;
const [url, request] = [env['URL'] as string, JSON.parse(env['REQUEST'] as string)];
const accepted: number[] = [];
const refused: number[] = [];
let others = 0;
let ending = false;
process.once('message', () => {
  ending = true;
});
// Nobody listens any more.
process.once('disconnect', () => process.exit());

const begin = performance.now();
await Promise.all(Array.from({ length: Number(env['PEOPLE']) }, signInAgainAndAgain));
const seconds = (performance.now() - begin) / 1000;
process.send?.({ accepted, refused, others, seconds }, () => process.disconnect());

async function signInAgainAndAgain(): Promise<void> {
  while (!ending) {
    const before = performance.now();
    const response = await fetch(url, request).catch(() => undefined);
    await response?.arrayBuffer().catch(() => undefined);
    const times = response?.status === 200 ? accepted : response?.status === 503 ? refused : undefined;
    if (times) times.push(performance.now() - before);
    else others++;
    if (times === refused && env['PATIENT'] === 'true') {
      await setTimeout(1000 * Number(response?.headers.get('retry-after')));
    }
  }
}
