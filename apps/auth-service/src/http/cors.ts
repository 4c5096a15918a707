import { methodsAt } from '@latchkey/service-kit';
import fp from 'fastify-plugin';
import type { HttpSettings } from '../config/sections/http.js';
import { type AnswerHeaders, createAnswerHeaders } from './response-headers.js';

declare module 'fastify' {
  interface FastifyInstance {
    answerHeaders: AnswerHeaders;
  }
}

const ALLOWED_HEADERS = 'authorization, content-type, idempotency-key, traceparent, tracestate';
// Chromium keeps it no longer.
const PREFLIGHT_MAX_AGE_S = 7200;

/** Gives every answer its headers, and answers the preflights of the front ends in `CORS_ORIGINS` (Fetch, §3.3). */
export default fp<{ config: HttpSettings }>(
  async (app, { config }) => {
    const headers = createAnswerHeaders(config);
    app.decorate('answerHeaders', headers);
    app.addHook('onRequest', (request, reply, done) => {
      reply.headers(headers.forRequest(request)).header('x-request-id', request.id);
      done();
    });
    if (config.corsOrigins.length === 0) return;

    app.addHook('onRequest', (request, reply, done) => {
      const isAllowed = reply.hasHeader('access-control-allow-origin');
      const isPreflight = request.method === 'OPTIONS' && 'access-control-request-method' in request.headers;
      const methods = isAllowed && isPreflight ? methodsAt(app, request.url) : [];
      if (methods.length === 0) return done();
      reply
        .status(204)
        .headers({
          'access-control-allow-methods': methods.join(', '),
          'access-control-allow-headers': ALLOWED_HEADERS,
          'access-control-max-age': PREFLIGHT_MAX_AGE_S,
        })
        .send();
    });
  },
  { name: 'answer-headers' },
);
