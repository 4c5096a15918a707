import { SECURITY_HEADERS } from '@latchkey/service-kit';
import type { FastifyRequest } from 'fastify';
import type { HttpSettings } from '../config/sections/http.js';

const VERIFY = '/auth/verify';
// What people call. The rest is for servers: a browser that held the secret of a client would give it away.
const FOR_BROWSERS = /^\/auth\/(?!revocations\b|verify\b)/;
// A gateway asks with every request that it passes on, and has no use for more.
const FOR_GATEWAYS = { 'cache-control': 'no-store' };
const EXPOSED = 'ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id';
const YEAR_S = 31_536_000;

type Headers = Readonly<Record<string, string>>;

/** The headers that answers have, errors too, whatever they are. */
export type AnswerHeaders = {
  forBrowsers: Headers;
  /** Adds to them for the front ends in `CORS_ORIGINS`. */
  forRequest(request: Pick<FastifyRequest, 'headers' | 'url'>): Headers;
};

export function createAnswerHeaders({ publicUrl, corsOrigins }: HttpSettings): AnswerHeaders {
  const origins = new Set(corsOrigins);
  const forBrowsers = {
    ...SECURITY_HEADERS,
    // Not of the subdomains, which are not ours to decide on; browsers ignore it where it comes without TLS.
    ...(publicUrl.startsWith('https:') && { 'strict-transport-security': `max-age=${YEAR_S}` }),
    ...(origins.size > 0 && { vary: 'origin' }),
  };

  return {
    forBrowsers,
    forRequest({ headers: { origin }, url }) {
      if (url === VERIFY) return FOR_GATEWAYS;
      if (origin === undefined || !origins.has(origin) || !FOR_BROWSERS.test(decode(url))) return forBrowsers;
      return {
        ...forBrowsers,
        'access-control-allow-origin': origin,
        'access-control-expose-headers': EXPOSED,
      };
    },
  };
}

/** As the router reads it. */
function decode(url: string): string {
  const path = url.split('?', 1)[0] as string;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
