import { readChallenge } from './challenge.js';

export type SessionFetchOptions = {
  /** Returns a token that is valid. */
  token: () => Promise<string>;
  /** Makes the next `token()` refresh, if that is still the current one. */
  invalidate: (token: string) => Promise<void>;
  /** Runs a request with the token, and once more after a step-up. */
  withToken: (request: (token: string) => Promise<Response>) => Promise<Response>;
  /** Origins that may see the token. */
  origins: () => readonly string[];
  fetch: typeof fetch;
};

type Input = string | URL | Request;

/** Makes a `fetch` that sends the token of a session; see `UserSession.fetch`. */
export function createSessionFetch(
  options: SessionFetchOptions,
): (input: Input, init?: RequestInit) => Promise<Response> {
  /** A token that was new, and was refused all the same: another one would be too. */
  let refused: string | undefined;

  const isTokenRefused = ({ status, headers }: Response) => status === 401 && !readChallenge(headers);

  return async (input, given) => {
    const url = toTarget(input, options.origins());
    // Only members of its own are copied below.
    const [target, init] = isPlain(given) ? [url, given] : [new Request(url, given), undefined];
    const send = (token: string) => {
      const headers = new Headers(init?.headers ?? (target instanceof Request ? target.headers : undefined));
      headers.set('authorization', `Bearer ${token}`);
      return options.fetch(target instanceof Request ? target.clone() : target, { ...init, headers });
    };
    if (isReadOnce(init?.body)) return send(await options.token());

    return options.withToken(async token => {
      const response = await send(token);
      if (!isTokenRefused(response) || token === refused) return response;
      await options.invalidate(token);
      const next = await options.token();
      if (next === token) return response;
      // Frees the connection; whether that succeeds does not matter.
      response.body?.cancel().catch(() => undefined);
      const again = await send(next);
      if (isTokenRefused(again)) refused = next;
      return again;
    });
  };
}

/** Of a page or a worker. */
type Page = { document?: { baseURI: string }; location?: { href: string; origin: string } };

/** The origin of the page, in a browser. A file and a sandboxed frame have none. */
export function pageOrigin(): string | undefined {
  const origin = (globalThis as Page).location?.origin;
  return origin === 'null' ? undefined : origin;
}

/**
 * Returns what is sent: exactly what is checked here, however the input reads a moment later or in another frame.
 *
 * @throws TypeError when its origin may not see the token
 */
function toTarget(input: Input, origins: readonly string[]): string | Request {
  const isRequest = typeof input === 'object' && 'clone' in input;
  // A clone: the caller may send it elsewhere when it is refused here.
  const target = isRequest ? new Request(input.clone()) : toUrl(input);
  const { origin } = new URL(typeof target === 'string' ? target : target.url);
  if (origins.includes(origin)) return target;
  throw new TypeError(
    `session.fetch does not send the token to ${origin}: add "${origin}" to the option \`origins\` of createUserSession, if that service may have it.`,
  );
}

/** Whether a body is a stream or what generates one, of whatever frame. */
const isReadOnce = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body);

const isPlain = (init: object | undefined): boolean =>
  init === undefined || [Object.prototype, null].includes(Object.getPrototypeOf(init));

/** Resolves a URL as `fetch` does, by what a `<base>` of the page says. */
function toUrl(input: string | URL): string {
  const { document, location } = globalThis as Page;
  return new URL(input, document?.baseURI ?? location?.href).href;
}
