import { createRequire } from 'node:module';
import { SpanStatusCode } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { traceRequests } from './requests.js';

// What is told of PostgreSQL's errors: their code, and none of what they quote.
const BARE_MESSAGE = /^PostgreSQL error of type '\w+' occurred \(code: \w+\)$/;

/** Messages of errors may quote what was sent. */
const forgetMessages: SpanProcessor = {
  onStart: () => undefined,
  onEnding(span) {
    if (span.status.code === SpanStatusCode.ERROR) span.setStatus({ code: SpanStatusCode.ERROR });
    for (const { attributes = {} } of span.events) {
      if (!BARE_MESSAGE.test(String(attributes['exception.message']))) delete attributes['exception.message'];
      delete attributes['exception.stacktrace'];
    }
  },
  onEnd: () => undefined,
  forceFlush: async () => undefined,
  shutdown: async () => undefined,
};

/** Traces the requests of Fastify apps, what they ask of PostgreSQL, and what they fetch, and exports that by OTLP. */
export function start(serviceName: string): void {
  // Of what can be found out about a process, its arguments would be too much.
  const resource = detectResources({ detectors: [envDetector] });
  const provider = new NodeTracerProvider({
    resource: resource.merge(resourceFromAttributes({ 'service.name': serviceName })),
    spanProcessors: [forgetMessages, new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  // No baggage: nobody here reads it, and anybody can send it.
  provider.register({ propagator: new W3CTraceContextPropagator() });

  traceQueries();
  traceFetches();
  traceRequests(() => provider.forceFlush());
}

/** Queries with their SQL, which has no values in it; those that belong to no request, such as polling, are left out. */
function traceQueries(): void {
  new PgInstrumentation({ requireParentSpan: true });
  // It patches what is required while it is there, also for those who have imported it before.
  const require = createRequire(import.meta.url);
  require('pg');
  // Its callers wait for a connection, and must not go on as part of the request that gives it back.
  createRequire(require.resolve('pg'))('pg-pool');
}

/** Fetches, by their origin: paths may tell too much, as those of the list of breached passwords do. */
function traceFetches(): void {
  new UndiciInstrumentation({
    requireParentforSpans: true,
    startSpanHook: ({ origin }) => ({ 'url.full': origin, 'url.path': '', 'url.query': '' }),
  });
}
