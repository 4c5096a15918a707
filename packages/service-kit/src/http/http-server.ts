import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Socket } from 'node:net';
import type { ProblemCode } from '@latchkey/user-schema';
import { toProblem } from './problems.js';
import { SECURITY_HEADERS } from './response-headers.js';

// A whole request must have arrived by then.
const REQUEST_TIMEOUT_MS = 10_000;
// Longer than gateways keep theirs, so that it is they who close.
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
// For the client to read why, and to close. Only then: what it goes on sending would keep the connection open.
const LINGER_MS = 1000;
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

/** A request and the response to it. */
type Exchange = { request: IncomingMessage; response: ServerResponse };

type Connection = {
  current?: Exchange | undefined;
  /** The last one, when its response was sent before its request had arrived. */
  early?: Exchange | undefined;
  waiting: (() => void)[];
};

// Few clients send requests before they have the response to the one before, and those send few. A single read of the
// socket may hold two thousand.
const MAX_WAITING = 16;

const connections = new WeakMap<Socket, Connection>();

/**
 * Makes a request listener get the requests of a connection one after the other, each when the response to the one before
 * has been sent. Node alone passes on all requests that arrive: their responses pile up in memory while the client does
 * not read them, keep open the files that they stream, and those that wait for their turn do not emit `close` when the
 * connection closes.
 *
 * A connection on which more than 16 requests wait is closed.
 */
export function oneAtATime(listener: RequestListener): RequestListener {
  const serve = (connection: Connection, exchange: Exchange) => {
    const { request, response } = exchange;
    connection.current = exchange;
    response.once('close', () => {
      connection.current = undefined;
      connection.early = request.complete ? undefined : exchange;
      connection.waiting.shift()?.();
    });
    // The response before this one may have been the last of the connection.
    if (request.socket.writable) listener(request, response);
  };

  return (request, response) => {
    const { socket } = request;
    const connection = connections.get(socket) ?? { waiting: [] };
    connections.set(socket, connection);
    const begin = () => serve(connection, { request, response });
    if (!connection.current) begin();
    // It does not belong to what goes on when its turn comes, such as the trace of the request before.
    else if (connection.waiting.length < MAX_WAITING) connection.waiting.push(AsyncResource.bind(begin));
    else socket.destroy();
  };
}

/**
 * The exchange that a connection is at, also one whose response was sent while its request still arrives; `undefined` when
 * the connection is idle.
 */
function currentExchange(socket: Socket): Exchange | undefined {
  const { current, early } = connections.get(socket) ?? {};
  return current ?? (early?.request.complete ? undefined : early);
}

const RESPONSES: Record<string, [status: number, code: ProblemCode, detail: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'headers_too_large', 'The header fields are larger than 16 KiB.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_timeout', 'The request did not arrive in time.'],
};

/** Makes the response to what is not a valid HTTP request; it ends the connection. */
function describeClientError(errorCode = ''): {
  status: number;
  headers: Record<string, string | number>;
  body: string;
} {
  const [status, code, detail] = RESPONSES[errorCode] ?? [400, 'invalid_request', 'This is not a valid HTTP request.'];
  const body = JSON.stringify(toProblem({ status, code, detail }, randomUUID()));
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  return { status, headers, body };
}

/**
 * Responds to what is not HTTP at all, as `clientErrorHandler` of a server. The error is not to be logged: it holds the raw
 * bytes, and they may hold secrets.
 */
export function respondToClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const { request, response } = currentExchange(socket) ?? {};
  // The client would take the response for that to another request, or for a part of it.
  const isMistakable = request?.complete === true || response?.headersSent === true;
  if (error.code === 'ECONNRESET' || !socket.writable || isMistakable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = describeClientError(error.code);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
  const linger = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(linger));
}
