/** Stands for pages of any port of the developer's machine. */
export const ANY_LOCALHOST = 'http://localhost:*';
const LOCALHOST = /^http:\/\/localhost(:\d{1,5})?$/;

/** Whether an origin is one of those that are allowed, of which {@link ANY_LOCALHOST} may be one. */
export function isOriginAllowed(origin: string, allowed: readonly string[]): boolean {
  return allowed.some(one => (one === ANY_LOCALHOST ? LOCALHOST.test(origin) : one === origin));
}
