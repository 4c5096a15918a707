import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { RequestListener, Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createHttpServer, respondToClientError } from '#src/http/http-server.js';
import { infallible } from '#src/http/server-options.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

async function start(t: Test, listener: RequestListener, prepare?: (server: Server) => void): Promise<number> {
  const server = createHttpServer(listener);
  server.on('clientError', respondToClientError);
  prepare?.(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

/** Connects, and writes a text. */
async function write(t: Test, port: number, text: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  await new Promise(resolve => socket.write(text, resolve));
  return socket;
}

/** Everything that comes until the connection closes. */
async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', chunk => {
    text += chunk;
  });
  socket.once('end', () => socket.end());
  await new Promise(resolve => socket.once('close', resolve));
  return text;
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i > 1000) throw new Error('not in time');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

t.test('a request that has waited for its turn belongs to no other request', async t => {
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const port = await start(t, (request, response) => {
    seen.push(storage.getStore());
    storage.run(request.url as string, () => setTimeout(() => response.end(), 20));
  });
  const requests = [1, 2, 3].map(i => `GET /${i} HTTP/1.1\r\nHost: x\r\n${i === 3 ? 'Connection: close\r\n' : ''}\r\n`);
  await readAll(await write(t, port, requests.join('')));
  t.same(seen, [undefined, undefined, undefined]);
});

t.test('the requests of a connection are served one after the other, in order', async t => {
  let serving = 0;
  let most = 0;
  const port = await start(t, (request, response) => {
    most = Math.max(most, ++serving);
    response.once('finish', () => serving--);
    if (request.url === '/last') response.setHeader('connection', 'close');
    request.resume().once('end', () => setTimeout(() => response.end(`${request.url}\n`), 5));
  });
  const paths = Array.from({ length: 12 }, (_, i) => `/${i}`);
  const requests = paths.map(path => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi`);
  const answers = await readAll(await write(t, port, requests.join('') + GET.replace('/', '/last') + GET));
  t.same(
    [...answers.matchAll(/\r\n\r\n(\/\w+)/g)].map(([, path]) => path),
    [...paths, '/last'],
    'and none after the one that ends the connection',
  );
  t.equal(most, 1);
});

t.test('more than 16 requests that wait close the connection, whatever they are', async t => {
  for (const flood of [
    GET,
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nExpect: nothing\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n',
  ]) {
    let begun = 0;
    const port = await start(t, () => void begun++);
    const patient = await write(t, port, GET.repeat(17));
    const socket = await write(t, port, GET + flood.repeat(2000));
    t.equal(await readAll(socket), '', 'nothing is answered');
    t.equal(begun, 2, 'one of each connection');
    t.notOk(patient.destroyed, '16 may wait');
  }
});

t.test('what a client does not read keeps one response at most, and not for long', async t => {
  const body = Buffer.alloc(16 * 1024 ** 2);
  let begun = 0;
  let closed = 0;
  const port = await start(
    t,
    (_request, response) => {
      begun++;
      response.once('close', () => closed++).end(body);
    },
    server => {
      t.ok(server.timeout > 30_000 && server.timeout <= 60_000, 'longer than the feed waits');
      server.timeout = 500;
    },
  );
  const socket = await write(t, port, GET.repeat(16));
  socket.pause();
  await until(() => closed === 1);
  t.equal(begun, 1);
});

t.test('a connection that is answered is closed, whatever the client goes on sending', async t => {
  let isClosed = false;
  const watch = (server: Server) => {
    Object.assign(server, { headersTimeout: 300, requestTimeout: 300 });
    server.on('connection', socket => {
      isClosed = false;
      socket.once('close', () => {
        isClosed = true;
      });
    });
  };
  const port = await start(t, () => undefined, watch);
  for (const [text, status] of [
    ['nonsense\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nX: ', 408],
    ['', 408],
  ] as const) {
    const socket = await write(t, port, text);
    const [answer] = await once(socket, 'data');
    t.match(String(answer), new RegExp(`^HTTP/1\\.1 ${status} `));
    const dripping = setInterval(() => socket.write('x'), 100);
    await until(() => isClosed);
    clearInterval(dripping);
  }
});

t.test('a client that goes away is noticed, and what it still waits for is not begun', async t => {
  const begun: string[] = [];
  const ended: string[] = [];
  const port = await start(t, ({ url = '' }, response) => {
    begun.push(url);
    response.once('close', () => ended.push(url));
  });
  for (const leave of ['resetAndDestroy', 'end'] as const) {
    const socket = await write(t, port, GET.replace('/', `/${leave}`) + GET.repeat(5));
    await until(() => begun.includes(`/${leave}`));
    socket[leave]();
    await until(() => ended.includes(`/${leave}`));
  }
  t.same(begun, ['/resetAndDestroy', '/end']);
});

t.test('what is not HTTP is not answered in the place of a request before it', async t => {
  const port = await start(t, (request, response) => {
    if (request.url === '/begun') response.write('begun');
  });
  t.equal(await readAll(await write(t, port, `${GET}nonsense\r\n\r\n`)), '');
  const chunked = 'HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.match(await readAll(await write(t, port, `POST / ${chunked}nonsense\r\n`)), /^HTTP\/1\.1 400 .*invalid_request/s);
  const begun = await write(t, port, `POST /begun ${chunked}`);
  begun.once('data', () => begun.write('nonsense\r\n'));
  t.notMatch(await readAll(begun), /400|invalid_request/, 'nor within its response');
});

t.test('a request that was answered before its body arrived gets no other response', async t => {
  const port = await start(
    t,
    (_request, response) => void response.writeHead(401).end(),
    server => {
      server.requestTimeout = 500;
    },
  );
  const early = async (framing: string) => {
    const socket = await write(t, port, `POST / HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`);
    const [answer] = await once(socket, 'data');
    t.match(String(answer), /^HTTP\/1\.1 401 /);
    return socket;
  };
  const chunked = await early('Transfer-Encoding: chunked');
  chunked.write('nonsense\r\n');
  t.equal(await readAll(chunked), '', 'when the body is not valid');

  const slow = await early('Content-Length: 2');
  t.equal(await readAll(slow), '', 'when it does not arrive in time');

  const complete = await early('Content-Length: 2');
  await new Promise(resolve => complete.write('hi', resolve));
  complete.write('nonsense\r\n\r\n');
  t.match(await readAll(complete), /^HTTP\/1\.1 400 /, 'what comes behind a whole request is another one');
});

t.test('a request without a host is refused, unless it is of HTTP/1.0', async t => {
  const port = await start(t, (_request, response) => void response.end('served'));
  const refused = await readAll(await write(t, port, 'GET / HTTP/1.1\r\n\r\n'));
  t.match(refused, /^HTTP\/1\.1 400 .*application\/problem\+json.*invalid_request/s);
  t.match(await readAll(await write(t, port, 'GET / HTTP/1.0\r\n\r\n')), /^HTTP\/1\.1 200 .*served$/s);
});

t.test('a request with two hosts is refused (RFC 9112 §3.2)', async t => {
  const port = await start(t, (_request, response) => void response.end('served'));
  for (const version of ['1.0', '1.1']) {
    const refused = await readAll(await write(t, port, `GET / HTTP/${version}\r\nHost: a\r\nhost: b\r\n\r\n`));
    t.match(refused, /^HTTP\/1\.1 400 .*application\/problem\+json.*invalid_request/s, version);
  }
});

t.test('HTTP/1.0 with a transfer coding is refused, and nothing behind it is served (RFC 9112 §6.1)', async t => {
  let served = 0;
  const port = await start(t, (_request, response) => {
    served++;
    response.end('served');
  });
  const headers = 'Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n';
  const answers = await readAll(await write(t, port, `POST / HTTP/1.0\r\n${headers}\r\n0\r\n\r\n${GET}`));
  t.match(answers, /^HTTP\/1\.1 400 .*invalid_request/s);
  t.equal(answers.match(/HTTP\/1\.1 /g)?.length, 1);
  t.equal(served, 0);
});

t.test('a header field behind a thousand others is read, such as what a gateway adds', async t => {
  const port = await start(t, ({ headers }, response) => void response.end(`<${headers['x-forwarded-for']}>`));
  const fields = `Host: x\r\nConnection: close\r\n${'V:\r\n'.repeat(1010)}X-Forwarded-For: 192.0.2.1\r\n`;
  t.match(await readAll(await write(t, port, `GET / HTTP/1.1\r\n${fields}\r\n`)), /<192\.0\.2\.1>/);
});

t.test('every request has an address, also when its connection was reset', async t => {
  let served = 0;
  let unknown = 0;
  const port = await start(t, ({ socket }, response) => {
    served++;
    // As late as a line about the response is logged.
    response.once('close', () => {
      if (socket.remoteAddress === undefined) unknown++;
    });
    response.end('served');
  });
  for (let round = 0; round < 20; round++) {
    const sockets = Array.from({ length: 50 }, () => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.once('connect', () => socket.write(GET, () => socket.resetAndDestroy()));
      return new Promise(resolve => socket.once('close', resolve));
    });
    await Promise.all(sockets);
  }
  t.match(await readAll(await write(t, port, GET.replace('Host', 'Connection: close\r\nHost'))), /200 OK/);
  t.ok(served > 0);
  t.equal(unknown, 0);
});

t.test('serializers cannot throw', async t => {
  const { req, fine } = infallible({ req: ({ socket }) => socket.remoteAddress, fine: text => `${text}!` });
  for (const value of [undefined, null, {}, { socket: null }]) t.equal(req?.(value), 'cannot be serialized');
  t.equal(req?.({ socket: { remoteAddress: '::1' } }), '::1');
  t.equal(fine?.('text'), 'text!');
});
