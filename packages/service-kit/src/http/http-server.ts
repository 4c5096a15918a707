import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { describeClientError } from './client-error.js';
import { oneAtATime } from './one-at-a-time.js';

// A whole request must have arrived by then.
const REQUEST_TIMEOUT_MS = 10_000;
// Longer than gateways keep theirs, so that it is they who close.
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
// Without a byte in either direction. Longer than the feed waits, or a password for its hash.
const SILENCE_TIMEOUT_MS = 60_000;

/**
 * Creates the HTTP server of a service, as `serverFactory` of Fastify. Its connections are bounded in time and in what they
 * can make the service keep (see {@link oneAtATime}), and their remote address is known until the last request has ended.
 */
export function createHttpServer(listener: RequestListener): Server {
  const serve = oneAtATime((request, response) => {
    if (isUnambiguous(request)) return listener(request, response);
    const { status, headers, body } = describeClientError();
    response.writeHead(status, headers).end(body);
  });
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      // Node checks these two every 30 seconds by default.
      connectionsCheckingInterval: 1000,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      // Node would respond by itself, to any number of requests that wait for their turn.
      requireHostHeader: false,
    },
    serve,
  );
  // For the same reason; an expectation that is not known may be ignored (RFC 9110 §10.1.1).
  server.on('checkExpectation', serve);
  // Node drops those behind the thousandth by default, among them what a gateway adds. Their size is limited.
  server.maxHeadersCount = 0;
  // What nobody reads is given up.
  server.timeout = SILENCE_TIMEOUT_MS;
  server.on('connection', socket => {
    // Node asks the system for the address when it is first read, and keeps it. A connection that has none was reset before
    // it was accepted: nobody waits for a response.
    if (socket.remoteAddress === undefined) socket.destroy();
  });
  return server;
}

/** Whether a request has one host, and ends where its sender takes it to end (RFC 9112 §3.2 and §6.1). */
function isUnambiguous({ httpVersion, headers, rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return httpVersion === '1.0' ? hosts <= 1 && headers['transfer-encoding'] === undefined : hosts === 1;
}
