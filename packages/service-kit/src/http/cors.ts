import cors from '@fastify/cors';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { methodsAt } from './no-route.js';
import { audienceOf } from './response-headers.js';

const ALLOWED_HEADERS = 'authorization, content-type, idempotency-key, traceparent, tracestate';
const EXPOSED_HEADERS = 'ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id';
// Chromium keeps it no longer.
const PREFLIGHT_MAX_AGE_S = 7200;

type CrossOriginOptions = { origins: readonly string[] };

/** Lets the front ends of these origins call the routes for browsers, and read their responses, errors too (Fetch, §3.3). */
export const crossOrigin: FastifyPluginAsync<CrossOriginOptions> = fp(
  async (app: FastifyInstance, options: CrossOriginOptions) => {
    const origins = new Set(options.origins);
    if (origins.size === 0) return;

    await app.register(cors, {
      delegator: (request, done) => {
        const { is404, method, url, headers } = request;
        const methods = method === 'OPTIONS' ? methodsAt(app, url) : [];
        // A preflight tells nothing of the route; it is the response to the request itself that is kept from a page.
        const isForBrowsers = is404 || methods.length > 0 || audienceOf(request) === 'browsers';
        done(null, {
          origin: isForBrowsers && headers.origin !== undefined && origins.has(headers.origin),
          preflight: 'access-control-request-method' in headers,
          strictPreflight: false,
          methods,
          allowedHeaders: ALLOWED_HEADERS,
          exposedHeaders: EXPOSED_HEADERS,
          maxAge: PREFLIGHT_MAX_AGE_S,
        });
      },
    });
  },
  { name: 'cross-origin' },
);
