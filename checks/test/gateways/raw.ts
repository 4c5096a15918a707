import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Test } from 'tap';

/** Sends bytes as they are, and gives the first answer; or, given a time in ms, all that comes until silence lasts that long. */
export async function sendRaw(url: string, text: string, untilSilentMs?: number): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  const closed = new Promise(resolve => socket.once('close', resolve));
  socket.setTimeout(untilSilentMs ?? 5000, () => socket.destroy());
  let answer = '';
  socket.setEncoding('latin1').on('data', chunk => {
    answer += chunk;
    if (untilSilentMs === undefined && isWhole(answer)) socket.destroy();
  });
  socket.on('error', () => undefined);
  socket.write(text, 'latin1');
  await closed;
  return answer;
}

function isWhole(answer: string): boolean {
  const head = answer.slice(0, answer.indexOf('\r\n\r\n') + 4);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  return length !== undefined && answer.length >= head.length + Number(length);
}

/** Status codes of the answers in what came back. */
export function statuses(answer: string): number[] {
  return [...answer.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => Number(status));
}

export type Seen = {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  rawHeaders: string[];
  body: string;
};

/** What comes back of a request, or `undefined` to break the connection. */
type Answer = (seen: Seen) => { status: number; headers?: Record<string, string>; body: string } | undefined;

/**
 * Stands where a service is, and remembers what comes: passes it on to a real one, or answers by itself. Is always ready,
 * and vouches for the keys of the real one.
 */
export async function startRecorder(t: Test, to: string | Answer): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { method = '', url = '', headers, rawHeaders, socket } = incoming;
    if (url === '/readyz') {
      response.end('{}');
      return;
    }
    const body = Buffer.concat(chunks);
    const request = { method, url, headers, rawHeaders, body: body.toString() };
    seen.push(request);
    if (typeof to === 'string') {
      forward(to, request, response);
      return;
    }
    const answer = to(request);
    if (answer)
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(answer.body);
    else socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function forward(service: string, { method, url, headers, body }: Seen, response: ServerResponse): void {
  // These belong to one connection.
  const { connection, 'transfer-encoding': coding, trailer, ...rest } = headers;
  const forwarded = request(new URL(service), { method, path: url, headers: rest }, answer => {
    response.writeHead(answer.statusCode ?? 500, answer.rawHeaders);
    answer.pipe(response);
  });
  forwarded.on('error', () => response.destroy());
  forwarded.end(body);
}
