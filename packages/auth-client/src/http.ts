import { Problem } from '@latchkey/user-schema';
import type { Static, TSchema } from '@sinclair/typebox';
import { AuthProblemError, AuthTransportError } from './errors.js';
import { conforms } from './schema-check.js';

/** The part of the global `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * When a call may be sent again. Each includes the ones before it.
 * - `unsent`: no connection came about, so the service cannot have seen it.
 * - `refused`: the service said that it has not done it, and when to come back.
 * - `any`: whatever happened, for calls that change nothing.
 */
export type RetryWhen = 'unsent' | 'refused' | 'any';

export type Call<S extends TSchema> = {
  fetch: Fetch;
  url: string;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  headers: Record<string, string>;
  body?: unknown;
  answer: { status: number; schema: S };
  retry: RetryWhen;
  maxRetries: number;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
};

const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);
const TRANSIENT = new Set([429, 502, 503, 504]);
const BASE_DELAY_MS = 100;

/**
 * Makes a call, again where that is safe, and checks the answer. One deadline covers all tries.
 *
 * @throws AuthProblemError, AuthTransportError
 */
export async function send<S extends TSchema>(call: Call<S>): Promise<Static<S>> {
  const deadline = Date.now() + call.timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await sendOnce(call, deadline);
    } catch (error) {
      const delay = retryDelay(error, attempt);
      const mayRetry = attempt < call.maxRetries && isRetryable(error, call.retry);
      if (!mayRetry || Date.now() + delay >= deadline) throw error;
      await sleep(delay, call.signal);
    }
  }
}

async function sendOnce<S extends TSchema>(call: Call<S>, deadline: number): Promise<Static<S>> {
  // Not AbortSignal.any with AbortSignal.timeout: on Node 20 their timers can be collected before they fire.
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), Math.max(0, deadline - Date.now()));
  const abort = () => controller.abort();
  call.signal?.addEventListener('abort', abort);
  if (call.signal?.aborted) abort();
  let response: Response;
  let text: string;
  try {
    response = await call.fetch(call.url, {
      method: call.method,
      headers: call.headers,
      // A redirect would carry the credentials to somebody else.
      redirect: 'manual',
      signal: controller.signal,
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    });
    text = await response.text();
  } catch (cause) {
    if (call.signal?.aborted) throw new AuthTransportError('aborted', 'The call was aborted.', { cause });
    if (controller.signal.aborted) {
      throw new AuthTransportError('timeout', `No answer within ${call.timeoutMs} ms.`, { cause });
    }
    throw new AuthTransportError('network_error', `Cannot reach ${new URL(call.url).origin}.`, { cause });
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener('abort', abort);
  }
  return readAnswer(response, text, call.answer);
}

function readAnswer<S extends TSchema>(
  { status, headers }: Response,
  text: string,
  expected: { status: number; schema: S },
): Static<S> {
  // 204 has no body; its schema is that of undefined.
  const body = status === 204 ? undefined : parseJson(headers, text);
  if (status === expected.status && conforms(expected.schema, body)) return body;
  if (status >= 400 && conforms(Problem, body)) throw new AuthProblemError(body, retryAfterS(headers));
  // The body is not shown: it may hold a token.
  throw new AuthTransportError('unexpected_answer', `The answer is not the service's (status ${status}).`, { status });
}

function parseJson(headers: Headers, text: string): unknown {
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json' && type !== 'application/problem+json') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRetryable(error: unknown, retry: RetryWhen): boolean {
  if (error instanceof AuthProblemError) {
    const { status } = error.problem;
    if (retry === 'any') return TRANSIENT.has(status);
    return retry === 'refused' && error.retryAfterS !== undefined && (status === 429 || status === 503);
  }
  if (!(error instanceof AuthTransportError)) return false;
  if (error.code === 'unexpected_answer') return retry === 'any' && TRANSIENT.has(error.status ?? 0);
  return error.code === 'network_error' && (retry === 'any' || wasUnsent(error.cause));
}

function wasUnsent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (UNSENT.has((cause as NodeJS.ErrnoException).code ?? '')) return true;
  }
  return false;
}

/** What the service asked for, or a growing pause; with jitter, so that callers do not come back all at once. */
function retryDelay(error: unknown, attempt: number): number {
  const asked = error instanceof AuthProblemError ? error.retryAfterS : undefined;
  if (asked !== undefined) return asked * 1000 + Math.random() * BASE_DELAY_MS;
  return Math.random() * BASE_DELAY_MS * 2 ** (attempt + 1);
}

/** `Retry-After` in seconds, from either of its forms (RFC 9110 §10.2.3). */
function retryAfterS(headers: Headers): number | undefined {
  const value = headers.get('retry-after');
  if (value === null) return undefined;
  if (/^\d+$/.test(value)) return Number(value);
  const seconds = (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, Math.ceil(seconds));
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>(resolve => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener('abort', wake);
  });
}
