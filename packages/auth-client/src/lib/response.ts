import type { Problem } from '@latchkey/user-schema';
import type { Static, TSchema } from '@sinclair/typebox';
import { AuthProblemError, AuthTransportError, SecondFactorRequiredError } from '../errors.js';
import { readChallenge } from './challenge.js';
import { ReceivedProblem } from './received-problem.js';
import { retryAfterS } from './retry.js';
import { conforms } from './schema-check.js';

/** The response of a request that succeeds. */
export type ExpectedResponse<S extends TSchema> = {
  /** One or several. The body of 202 and 204 is `undefined`. */
  status: number | readonly number[];
  schema: S;
  /** The largest body to read, in bytes; 1 MiB by default. */
  maxBytes?: number;
};

const MAX_BYTES = 1024 * 1024;
// 202 says no more than that the request was accepted.
const BODILESS = new Set([202, 204]);

/**
 * Reads a body as text, up to a limit: a faulty peer must not fill the memory.
 *
 * @throws AuthTransportError `unexpected_answer` when the body is larger
 */
export async function readText({ body, status }: Response, maxBytes: number = MAX_BYTES): Promise<string> {
  if (!body) return '';
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.byteLength;
    if (size > maxBytes) {
      // Also ends the transfer; whether that succeeds does not matter.
      reader.cancel().catch(() => undefined);
      throw new AuthTransportError('unexpected_answer', `The response is larger than ${maxBytes} bytes.`, { status });
    }
  }
  // At once: a text that is decoded chunk by chunk takes twice the memory, and several times as long to parse.
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return new TextDecoder().decode(bytes);
}

/**
 * Parses a body and checks that it is the expected one.
 *
 * @throws AuthProblemError, SecondFactorRequiredError when it is a problem
 * @throws AuthTransportError `unexpected_answer` when it is neither
 */
export function readResponse<S extends TSchema>(
  { status, headers }: Response,
  text: string,
  expected: ExpectedResponse<S>,
): Static<S> {
  const hasBody = !BODILESS.has(status);
  const body = hasBody ? parseJson(headers, text) : undefined;
  const isExpected = [expected.status].flat().includes(status) && hasBody === (body !== undefined);
  if (isExpected && conforms(expected.schema, body)) return body;
  const problem = status >= 400 && conforms(ReceivedProblem, body) && toProblemError(body as Problem, headers);
  if (problem) throw problem;
  // The message does not quote the body, which may hold a token.
  const message = `The response is not one of the auth-service (status ${status}).`;
  throw new AuthTransportError('unexpected_answer', message, { status });
}

/** The error of a problem; `undefined` when it lacks members that its code needs. */
function toProblemError(problem: Problem, headers: Headers): AuthProblemError | SecondFactorRequiredError | undefined {
  const { code, challenge, methods, expiresIn } = problem;
  if (code !== 'second_factor_required') {
    return new AuthProblemError({ ...problem, code }, retryAfterS(headers), readChallenge(headers));
  }
  if (challenge === undefined || methods === undefined || expiresIn === undefined) return undefined;
  return new SecondFactorRequiredError({ ...problem, code, challenge, methods, expiresIn });
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
