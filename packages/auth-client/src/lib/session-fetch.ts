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

  return async (input, init) => {
    assertOrigin(input, options.origins());
    const send = (token: string) => {
      const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
      headers.set('authorization', `Bearer ${token}`);
      return options.fetch(input instanceof Request ? input.clone() : input, { ...init, headers });
    };
    // A stream is read once.
    if (init?.body instanceof ReadableStream) return send(await options.token());

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

/** The origin of the page, in a browser. */
export function pageOrigin(): string | undefined {
  const { location } = globalThis as { location?: { origin?: string } };
  return location?.origin;
}

/** @throws TypeError */
function assertOrigin(input: Input, origins: readonly string[]): void {
  const { origin, href } = new URL(input instanceof Request ? input.url : input, pageOrigin());
  if (origins.includes(origin)) return;
  throw new TypeError(
    `session.fetch does not send the token to ${href}: add "${origin}" to the option \`origins\` of createUserSession, if that service may have it.`,
  );
}
