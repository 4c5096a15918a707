import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { isOriginAllowed } from './origins.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `false` keeps a route from pages of other origins. */
    cors?: false;
  }
}

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const ALLOWED_HEADERS = 'authorization, content-type, idempotency-key, traceparent, tracestate';
const EXPOSED_HEADERS = 'ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id';
// Chromium keeps it no longer.
const PREFLIGHT_MAX_AGE_S = 7200;

type CrossOriginOptions = { origins: readonly string[] };

/**
 * Lets the front ends of these origins call the routes for browsers, and read their responses, errors too (Fetch, §3.3). A
 * preflight tells nothing of a route: it is the response to the request itself that is kept from a page.
 */
export const crossOrigin: FastifyPluginAsync<CrossOriginOptions> = fp(
  async (app: FastifyInstance, options: CrossOriginOptions) => {
    const { origins } = options;
    if (origins.length === 0) return;

    // Few services have any.
    const { default: cors } = await import('@fastify/cors');
    await app.register(cors, {
      origin: (origin, done) => done(null, origin !== undefined && isOriginAllowed(origin, origins)),
      methods: METHODS,
      allowedHeaders: ALLOWED_HEADERS,
      exposedHeaders: EXPOSED_HEADERS,
      maxAge: PREFLIGHT_MAX_AGE_S,
      strictPreflight: false,
    });
    // Behind the route for preflights, which is for all.
    app.addHook('onRoute', route => {
      if (route.config?.audience !== 'browsers') route.config = { ...route.config, cors: false };
    });
  },
  { name: 'cross-origin' },
);
