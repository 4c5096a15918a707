import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ProblemCode } from '@latchkey/user-schema';
import { currentExchange } from './one-at-a-time.js';
import { toProblem } from './problems.js';
import { SECURITY_HEADERS } from './response-headers.js';

const RESPONSES: Record<string, [status: number, code: ProblemCode, detail: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'headers_too_large', 'The header fields are larger than 16 KiB.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_timeout', 'The request did not arrive in time.'],
};

/** Makes the response to what is not a valid HTTP request; it ends the connection. */
export function describeClientError(errorCode = ''): {
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
}
