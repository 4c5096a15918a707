import { AuthProblemError, AuthTransportError } from '../errors.js';

/**
 * When a request may be sent again. Each includes the ones before it.
 * - `unsent`: no connection was made, so the service cannot have received it.
 * - `refused`: the service sent `Retry-After`; for requests that may take effect twice.
 * - `any`: after every transient failure; for requests that change nothing, or nothing more the second time.
 */
export type RetryWhen = 'unsent' | 'refused' | 'any';

const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);
const TRANSIENT = new Set([429, 502, 503, 504]);
const BASE_DELAY_MS = 100;

/** Whether a request that failed with this error may be sent again. */
export function mayRetry(error: unknown, retry: RetryWhen): boolean {
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
    if (UNSENT.has((cause as Error & { code?: string }).code ?? '')) return true;
  }
  return false;
}

/** The pause before the next attempt, in milliseconds: `Retry-After` or a growing one, with jitter to spread the clients. */
export function retryDelay(error: unknown, attempt: number): number {
  const askedS = error instanceof AuthProblemError ? error.retryAfterS : undefined;
  if (askedS !== undefined) return askedS * 1000 + Math.random() * BASE_DELAY_MS;
  return Math.random() * BASE_DELAY_MS * 2 ** (attempt + 1);
}

/** `Retry-After` in seconds, from either of its forms (RFC 9110 §10.2.3). */
export function retryAfterS(headers: Headers): number | undefined {
  const value = headers.get('retry-after');
  if (value === null) return undefined;
  if (/^\d+$/.test(value)) return Number(value);
  const seconds = (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, Math.ceil(seconds));
}
