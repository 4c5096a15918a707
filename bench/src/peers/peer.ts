/** A server that signs people in with bcrypt, on a database of its own. */
export type Peer = {
  name: string;
  signIn: SignIn;
  /** That it hashes otherwise than with bcrypt at the cost that the others are given. */
  hasOwnHash?: true;
  /** How long it has to run before it is as fast as it gets, in seconds. */
  warmUpS?: number;
  /** Asks whether a session lives, in the way that the peer documents; throws unless the answer says so. */
  check: () => Promise<void>;
};

/** A request that signs in: a body of JSON, or of a form. */
export type SignIn = { url: string; body: Record<string, string>; isForm?: boolean };

/** Takes what stops something that was started. */
export type OnEnd = (stop: () => Promise<void>) => void;

/** The request that signs in. Better Auth refuses a browser-like request without an origin. */
export function formatSignIn({ url, body, isForm = false }: SignIn) {
  return {
    method: 'POST',
    headers: {
      'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json',
      origin: new URL(url).origin,
    },
    body: isForm ? new URLSearchParams(body).toString() : JSON.stringify(body),
  };
}

/** Posts as a page of the same origin does. */
export async function post(request: SignIn): Promise<Response> {
  const response = await fetch(request.url, formatSignIn(request));
  if (!response.ok) throw new Error(`${request.url} answered ${response.status}: ${await response.text()}`);
  return response;
}

/** A check that fails unless the answer is a 200 with `mark` in it. */
export function checker(url: string, init: RequestInit, mark = ''): () => Promise<void> {
  return async () => {
    const response = await fetch(url, init);
    const text = await response.text();
    if (response.status !== 200 || !text.includes(mark)) throw new Error(`${url} answered ${response.status}: ${text}`);
  };
}
