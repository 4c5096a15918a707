import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type LoadGenerator, startGenerator } from './load.js';

async function start(t: TestContext, listener: RequestListener): Promise<{ url: string; generator: LoadGenerator }> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const generator = startGenerator();
  t.after(() => {
    generator.stop();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, generator };
}

test('each request sends what the response before it gave, once', async t => {
  const sockets = new Set<unknown>();
  const seen = new Set<string>();
  const newest = new Map<string, number>();
  const { url, generator } = await start(t, async (request, response) => {
    sockets.add(request.socket);
    const { token } = JSON.parse(Buffer.concat(await request.toArray()).toString()) as { token: string };
    const [session = '', generation] = token.split('.');
    const isNewest = !seen.has(token) && Number(generation) === (newest.get(session) ?? 0);
    seen.add(token);
    newest.set(session, Number(generation) + 1);
    const body = JSON.stringify({ token: `${session}.${Number(generation) + 1}` });
    response.writeHead(isNewest ? 200 : 401, { 'content-length': Buffer.byteLength(body) }).end(body);
  });
  let bodies: object[] = ['a', 'b', 'c', 'd', 'e'].map(session => ({ token: `${session}.0` }));
  let answered = 0;
  for (let turn = 0; turn < 2; turn++) {
    const result = await generator.send({ url, connections: 3, seconds: 0.2, bodies, follows: 'token' });
    answered += result.requests;
    bodies = result.bodies;
  }
  assert.equal(answered, seen.size);
  assert.equal(sockets.size, 6, 'connections are kept alive');
  assert.deepEqual(
    bodies,
    Array.from(newest, ([session, generation]) => ({ token: `${session}.${generation}` })).sort((a, b) =>
      a.token < b.token ? -1 : 1,
    ),
  );
});

test('a load fails with the first response that is not 2xx, and the next one is sent', async t => {
  let requests = 0;
  const { url, generator } = await start(t, (_request, response) => {
    response.writeHead(++requests === 5 ? 503 : 204).end();
  });
  await assert.rejects(generator.send({ url, connections: 1, seconds: 60 }), /503/);
  const { requests: answered } = await generator.send({ url, connections: 1, seconds: 0.1 });
  assert.ok(answered > 0);
});

test('a connection that the server closes fails the load', async t => {
  const { url, generator } = await start(t, request => void request.socket.destroy());
  await assert.rejects(generator.send({ url, connections: 1, seconds: 60 }), /closed a connection|ECONNRESET/);
});
