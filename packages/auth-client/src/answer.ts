import { Problem } from '@latchkey/user-schema';
import type { Static, TSchema } from '@sinclair/typebox';
import { AuthProblemError, AuthTransportError } from './errors.js';
import { retryAfterS } from './retry.js';
import { conforms } from './schema-check.js';

/** The answer that a call expects. */
export type Expected<S extends TSchema> = {
  status: number;
  schema: S;
  /** The largest body to read, in bytes; 1 MiB by default. */
  maxBytes?: number;
};

const MAX_BYTES = 1024 * 1024;

/**
 * Reads a body as text, no more of it than is allowed: a peer gone wrong must not fill the memory.
 *
 * @throws AuthTransportError `unexpected_answer` when it is larger
 */
export async function readText({ body, status }: Response, maxBytes: number = MAX_BYTES): Promise<string> {
  if (!body) return '';
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let size = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > maxBytes) {
      // Ends the transfer too. Whether that succeeds is of no interest.
      reader.cancel().catch(() => undefined);
      throw new AuthTransportError('unexpected_answer', `The answer is larger than ${maxBytes} bytes.`, { status });
    }
    text += decoder.decode(value, { stream: true });
  }
}

/**
 * Takes a body for what was expected, or for a problem.
 *
 * @throws AuthProblemError, AuthTransportError `unexpected_answer`
 */
export function readAnswer<S extends TSchema>(
  { status, headers }: Response,
  text: string,
  expected: Expected<S>,
): Static<S> {
  // 204 has no body; its schema is that of undefined.
  const body = status === 204 ? undefined : parseJson(headers, text);
  if (status === expected.status && conforms(expected.schema, body)) return body;
  if (status >= 400 && conforms(Problem, body)) throw new AuthProblemError(body, retryAfterS(headers));
  // The body is not shown: it may hold a token.
  throw new AuthTransportError('unexpected_answer', `The answer is not the service's (status ${status}).`, { status });
}

function parseJson(headers: Headers, text: string): unknown {
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  // The JWK set may be sent as application/jwk-set+json (RFC 7517 §8.5), problems are application/problem+json.
  if (!/^application\/(json|[\w.-]+\+json)$/.test(type)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
