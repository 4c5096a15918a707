/** An answer, or why there is none. */
export type Answer = {
  /** HTTP's, or 0 when no answer came. */
  status: number;
  /** Of the problem in the body, or of the error. */
  code: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is in it depends on the call
  body: any;
  retryAfter: string | null;
  ms: number;
};

export type CallOptions = {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  body?: object;
  token?: string;
  headers?: Record<string, string>;
  /** How long an answer may take before there is none. */
  patienceMs?: number;
};

const PATIENCE_MS = 20_000;

/** Calls a URL once, never rejects, and says how long the answer took. */
export async function call(url: string, options: CallOptions = {}): Promise<Answer> {
  const { body, token, headers, patienceMs = PATIENCE_MS, method = body ? 'POST' : 'GET' } = options;
  const before = performance.now();
  const ms = () => performance.now() - before;
  try {
    const response = await fetch(url, {
      method,
      headers: {
        ...(body && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(patienceMs),
    });
    const text = await response.text();
    const parsed = text.startsWith('{') ? JSON.parse(text) : undefined;
    const { status } = response;
    return {
      status,
      code: parsed?.code ?? '',
      body: parsed,
      retryAfter: response.headers.get('retry-after'),
      ms: ms(),
    };
  } catch (error) {
    const { name, cause } = error as Error & { cause?: { code?: string } };
    return { status: 0, code: cause?.code ?? name, body: undefined, retryAfter: null, ms: ms() };
  }
}

/** Whether the service said, as it promises, that it cannot answer for now. */
export const isUnavailable = ({ status, code, retryAfter }: Answer): boolean =>
  status === 503 && code === 'service_unavailable' && /^\d+$/.test(retryAfter ?? '');

export const describe = ({ status, code, ms }: Answer): string =>
  `${status || 'no answer'} ${code} (${Math.round(ms)} ms)`;

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Tries until it is so, or throws. */
export async function waitUntil(what: string, isSo: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; await sleep(20)) {
    if (await isSo()) return;
  }
  throw new Error(`${what}: not within ${withinMs} ms`);
}
