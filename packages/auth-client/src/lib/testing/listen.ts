import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Handler = (request: Request, signal: AbortSignal) => Promise<Response>;

/** Serves a handler over HTTP on a port of the loopback address; 0 is a free one. */
export async function serve(handle: Handler, port: number): Promise<{ server: Server; url: string }> {
  const server = createServer((incoming, outgoing) => {
    respond(handle, incoming, outgoing).catch(() => outgoing.destroy());
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function respond(handle: Handler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const closed = new AbortController();
  outgoing.once('close', () => closed.abort());
  const { method = 'GET', url = '/' } = incoming;
  const body = Buffer.concat(await incoming.toArray());
  const request = new Request(new URL(url, 'http://127.0.0.1'), {
    method,
    headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)] as [string, string]),
    ...(method !== 'GET' && method !== 'HEAD' && { body }),
  });
  const response = await handle(request, closed.signal);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}
