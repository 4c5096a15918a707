import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/**
 * Whom a route is for: pages in browsers, which may be of another origin and read the response; gateways, which ask with
 * every request that they pass on; or services. Nobody in particular when it does not say.
 */
export type Audience = 'browsers' | 'gateways' | 'services';

declare module 'fastify' {
  interface FastifyContextConfig {
    audience?: Audience;
  }
}

type Headers = Readonly<Record<string, string>>;

/**
 * Headers of every response that is data for programs: nothing to render, frame, sniff, embed or keep (OWASP REST Security
 * Cheat Sheet).
 */
export const SECURITY_HEADERS: Headers = {
  'cache-control': 'no-store',
  // The last three do not fall back to the first.
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

// A gateway has no use for more.
const FOR_GATEWAYS: Headers = { 'cache-control': 'no-store' };
const YEAR_S = 31_536_000;

/** The security headers of a service that clients reach by a URL. */
export function securityHeaders(publicUrl: string | undefined): Headers {
  if (!publicUrl?.startsWith('https:')) return SECURITY_HEADERS;
  // Not of the subdomains, which are not ours to decide on; browsers ignore it where it comes without TLS.
  return { ...SECURITY_HEADERS, 'strict-transport-security': `max-age=${YEAR_S}` };
}

/** Gives every response its headers, by the `audience` of the route. */
export const responseHeaders: FastifyPluginAsync<{ headers: Headers }> = fp(
  async (app: FastifyInstance, { headers }: { headers: Headers }) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.headers(audienceOf(request) === 'gateways' ? FOR_GATEWAYS : headers).header('x-request-id', request.id);
      done();
    });
    app.addHook('onError', (request, reply, _error, done) => {
      // A gateway hands a refusal on.
      if (audienceOf(request) === 'gateways') reply.headers(headers);
      done();
    });
  },
  { name: 'response-headers' },
);

export function audienceOf(request: FastifyRequest): Audience | undefined {
  return request.routeOptions.config?.audience;
}
