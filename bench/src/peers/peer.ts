/** A server that signs people in with bcrypt, on a database of its own. */
export type Peer = {
  name: string;
  signIn: { url: string; body: object };
  /** Asks whether a session lives, in the way that the peer documents; throws unless the answer says so. */
  check: () => Promise<void>;
};

/** Takes what stops something that was started. */
export type OnEnd = (stop: () => Promise<void>) => void;

/** Posts JSON as a page of the same origin does: Better Auth refuses a browser-like request without an origin. */
export async function post(url: string, body: object): Promise<Response> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: new URL(url).origin },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
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
