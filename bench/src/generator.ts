// Sends requests as fast as they are answered, one at a time on each connection, in a process of its own whose CPU counts apart.
// Its parent sends one job after the other.
import { formatRequest, openConnections, sendOk } from './connections.js';
import type { Load, LoadResult } from './load.js';

process.on('message', async (load: Load) => {
  const result = await run(load).catch((error: Error) => ({ failure: error.message }));
  process.send?.(result);
});
// Nobody waits for a result any more.
process.once('disconnect', () => process.exit());

async function run({ url, headers = {}, connections: count, seconds, bodies, follows }: Load): Promise<LoadResult> {
  const connections = openConnections(url);
  const formatBody = (body?: object) => formatRequest(url, headers, body);
  const latest = [...(bodies ?? [])];
  const requests = bodies ? bodies.map(formatBody) : [formatBody()];
  const begin = performance.now();
  const end = begin + seconds * 1000;
  let answered = 0;

  /** Takes turns at its share of the requests, so that each has the response to the one that it follows. */
  const work = async (first: number) => {
    for (let i = first; performance.now() < end; i = i + count < requests.length ? i + count : first) {
      const { body } = await sendOk(connections, requests[i] as Buffer);
      answered++;
      if (follows === undefined) continue;
      latest[i] = { [follows]: JSON.parse(body.toString())[follows] };
      requests[i] = formatBody(latest[i]);
    }
  };
  try {
    const workers = Array.from({ length: count }, (_, i) => work(follows === undefined ? i % requests.length : i));
    await Promise.all(workers);
    return { requests: answered, seconds: (performance.now() - begin) / 1000, bodies: latest };
  } finally {
    connections.close();
  }
}
