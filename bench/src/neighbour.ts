// A foreign process that keeps one core busy until its parent ends it or has gone.
const SLICE_MS = 20;

process.once('disconnect', () => process.exit());
spin();

function spin(): void {
  const end = performance.now() + SLICE_MS;
  while (performance.now() < end);
  // So that it learns of its parent's end.
  setImmediate(spin);
}
