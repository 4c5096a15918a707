import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ProblemCode } from '@latchkey/user-schema';
import { toProblem } from './problems.js';
import { SECURITY_HEADERS } from './security-headers.js';

const ANSWERS: Record<string, [status: number, code: ProblemCode, detail: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'headers_too_large', 'The header fields are larger than 16 KiB.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_timeout', 'The request did not arrive in time.'],
};

/**
 * Answers what is not HTTP at all, as `clientErrorHandler` of a server. The error is not to be logged: it holds the raw
 * bytes, and they may hold secrets.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, detail] = ANSWERS[error.code ?? ''] ?? [
    400,
    'invalid_request',
    'This is not a valid HTTP request.',
  ];
  const body = JSON.stringify(toProblem({ status, code, detail }, randomUUID()));
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
}
