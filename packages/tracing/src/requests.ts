import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { type Context, context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { setGlobalErrorHandler } from '@opentelemetry/core';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
// Asked all the time, and of no interest.
const UNTRACED = new Set(['/livez', '/readyz']);
const FLUSH_WITHIN_MS = 2000;
const WARN_EVERY_MS = 60_000;

/**
 * Traces the requests of every Fastify app that is made from now on. Spans are named by the pattern of the route: paths,
 * queries, headers and bodies are told to nobody.
 */
export function traceRequests(flush: () => Promise<void>): void {
  const tracer = trace.getTracer('@latchkey/tracing');
  const contexts = new WeakMap<IncomingMessage, Context>();

  const begin = (request: IncomingMessage): Context => {
    const parent = propagation.extract(ROOT_CONTEXT, request.headers);
    const method = METHODS.has(request.method ?? '') ? (request.method as string) : '_OTHER';
    const attributes = { 'http.request.method': method };
    const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
    const begun = trace.setSpan(parent, span);
    contexts.set(request, begun);
    return begun;
  };

  const instrument = (app: FastifyInstance) => {
    // Called before the first line about a request is logged.
    app.setChildLoggerFactory((logger, bindings, options, request) => {
      const { traceId, spanId } = trace.getSpanContext(begin(request as IncomingMessage)) ?? {};
      return logger.child({ ...bindings, trace_id: traceId, span_id: spanId }, options);
    });
    app.addHook('onRequest', (request, reply, done) => {
      const route = request.routeOptions.url;
      if (route !== undefined && UNTRACED.has(route)) return done();
      // A route may have a logger factory of its own.
      const begun = contexts.get(request.raw) ?? begin(request.raw);
      const span = trace.getSpan(begun);
      if (!span?.isRecording()) return context.with(begun, done);
      span.setAttributes({ 'url.scheme': request.protocol, 'latchkey.request_id': request.id });
      if (route !== undefined) span.updateName(`${request.method} ${route}`).setAttribute('http.route', route);
      reply.raw.once('close', () => {
        const { statusCode, writableFinished } = reply.raw;
        if (writableFinished) span.setAttribute('http.response.status_code', statusCode);
        else span.setAttribute('error.type', 'caller_gone');
        // What callers did wrong is no fault of ours.
        if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      });
      context.with(begun, done);
    });
    // The body comes by events of the connection, which belong to no request.
    app.addHook('preValidation', (request, _reply, done) => {
      const begun = contexts.get(request.raw);
      if (begun) context.with(begun, done);
      else done();
    });
    app.addHook('onReady', async () => {
      // A service of ours may respond to some requests before Fastify sees them; these have no trace.
      (app as { stopEarlyResponses?: () => void }).stopEarlyResponses?.();
    });
    app.addHook('onClose', async () => {
      // Nobody waits longer for a collector that is not there.
      await Promise.race([flush().catch(() => undefined), setTimeout(FLUSH_WITHIN_MS, undefined, { ref: false })]);
    });
  };

  let log: FastifyBaseLogger | undefined;
  let warnedAt = Number.NEGATIVE_INFINITY;
  // What cannot be exported is dropped.
  setGlobalErrorHandler(error => {
    if (performance.now() - warnedAt < WARN_EVERY_MS) return;
    warnedAt = performance.now();
    log?.warn({ reason: typeof error === 'string' ? error : error.message }, 'cannot export traces');
  });
  subscribe('fastify.initialization', message => {
    const { fastify: app } = message as { fastify: FastifyInstance };
    log ??= app.log;
    instrument(app);
  });
}
