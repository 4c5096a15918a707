import type { Static, TSchema } from '@sinclair/typebox';
import { AuthTransportError, isAuthClientError } from '../errors.js';
import type { Fetch } from '../request-options.js';
import { type ExpectedResponse, readResponse, readText } from './response.js';
import { mayRetry, type RetryWhen, retryDelay } from './retry.js';
import { sleep } from './sleep.js';

export type HttpRequest<S extends TSchema> = {
  fetch: Fetch;
  url: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  headers: Record<string, string>;
  body?: string | undefined;
  expected: ExpectedResponse<S>;
  retry: RetryWhen;
  maxRetries: number;
  /** Deadline of all attempts together. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
};

/**
 * Sends a request, again where that is safe, and returns the checked body of the response.
 *
 * @throws AuthProblemError, AuthTransportError
 */
export async function sendRequest<S extends TSchema>(request: HttpRequest<S>): Promise<Static<S>> {
  const deadline = performance.now() + request.timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await sendOnce(request, deadline);
    } catch (error) {
      const delay = retryDelay(error, attempt);
      const again = attempt < request.maxRetries && mayRetry(error, request.retry);
      if (!again || performance.now() + delay >= deadline) throw error;
      await sleep(delay, request.signal);
    }
  }
}

async function sendOnce<S extends TSchema>(request: HttpRequest<S>, deadline: number): Promise<Static<S>> {
  // Not AbortSignal.any with AbortSignal.timeout: on Node 20 their timers can be collected before they fire.
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, Math.max(0, deadline - performance.now()));
  // The connection keeps the process alive, so the timer need not. Timers of browsers have no `unref`.
  timer.unref?.();
  request.signal?.addEventListener('abort', abort);
  if (request.signal?.aborted) abort();
  try {
    const response = await request.fetch(request.url, {
      method: request.method,
      headers: request.headers,
      // Following a redirect could send the credentials to another host.
      redirect: 'manual',
      signal: controller.signal,
      ...(request.body !== undefined && { body: request.body }),
    });
    return readResponse(response, await readText(response, request.expected.maxBytes), request.expected);
  } catch (cause) {
    if (isAuthClientError(cause)) throw cause;
    if (request.signal?.aborted) throw new AuthTransportError('aborted', 'The request was aborted.', { cause });
    if (controller.signal.aborted) {
      throw new AuthTransportError('timeout', `There was no response within ${request.timeoutMs} ms.`, { cause });
    }
    throw new AuthTransportError('network_error', `Cannot reach ${new URL(request.url).origin}.`, { cause });
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', abort);
  }
}
