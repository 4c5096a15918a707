import type { Static, TSchema } from '@sinclair/typebox';
import { type Expected, readAnswer, readText } from './answer.js';
import { AuthTransportError, isAuthClientError } from './errors.js';
import { mayRetry, type RetryWhen, retryDelay, sleep } from './retry.js';

/** The part of the global `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export type Call<S extends TSchema> = {
  fetch: Fetch;
  url: string;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  headers: Record<string, string>;
  body?: string | undefined;
  answer: Expected<S>;
  retry: RetryWhen;
  maxRetries: number;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
};

/**
 * Makes a call, again where that is safe, and checks the answer. One deadline covers all tries.
 *
 * @throws AuthProblemError, AuthTransportError
 */
export async function send<S extends TSchema>(call: Call<S>): Promise<Static<S>> {
  const deadline = performance.now() + call.timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await sendOnce(call, deadline);
    } catch (error) {
      const delay = retryDelay(error, attempt);
      const again = attempt < call.maxRetries && mayRetry(error, call.retry);
      if (!again || performance.now() + delay >= deadline) throw error;
      await sleep(delay, call.signal);
    }
  }
}

async function sendOnce<S extends TSchema>(call: Call<S>, deadline: number): Promise<Static<S>> {
  // Not AbortSignal.any with AbortSignal.timeout: on Node 20 their timers can be collected before they fire.
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, Math.max(0, deadline - performance.now()));
  // It is the connection that keeps a process alive, not its deadline. Browsers' timers have no such method.
  timer.unref?.();
  call.signal?.addEventListener('abort', abort);
  if (call.signal?.aborted) abort();
  try {
    const response = await call.fetch(call.url, {
      method: call.method,
      headers: call.headers,
      // A redirect would carry the credentials to somebody else.
      redirect: 'manual',
      signal: controller.signal,
      ...(call.body !== undefined && { body: call.body }),
    });
    return readAnswer(response, await readText(response, call.answer.maxBytes), call.answer);
  } catch (cause) {
    if (isAuthClientError(cause)) throw cause;
    if (call.signal?.aborted) throw new AuthTransportError('aborted', 'The call was aborted.', { cause });
    if (controller.signal.aborted) {
      throw new AuthTransportError('timeout', `No answer within ${call.timeoutMs} ms.`, { cause });
    }
    throw new AuthTransportError('network_error', `Cannot reach ${new URL(call.url).origin}.`, { cause });
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener('abort', abort);
  }
}
