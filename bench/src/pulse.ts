// Asks a service for its health all the time, in a process of its own; tells its parent how long each answer took, in ms, when
// told to end.
const url = process.env['URL'] as string;
const EVERY_MS = 10;

const beats: Promise<number>[] = [];
const ask = async () => {
  const before = performance.now();
  await (await fetch(url)).arrayBuffer();
  return performance.now() - before;
};
const timer = setInterval(() => beats.push(ask()), EVERY_MS);
process.once('message', async () => {
  clearInterval(timer);
  process.send?.(await Promise.all(beats), () => process.disconnect());
});
// Nobody waits for the answer any more.
process.once('disconnect', () => process.exit());
