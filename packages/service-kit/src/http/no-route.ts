import type { FastifyInstance, HTTPMethods } from 'fastify';
import type { ErrorResponse } from './problems.js';

/** The methods that there is a route for. */
export function methodsAt(app: FastifyInstance, url: string): string[] {
  const [path = ''] = url.split('?', 1);
  // The preflights of @fastify/cors have a route for every path.
  const methods = app.supportedMethods.filter(method => method !== 'OPTIONS');
  return methods.filter(method => app.findRoute({ url: path, method: method as HTTPMethods }));
}

/** Describes the response to a request that no route takes: 405 where another method would do, otherwise 404. */
export function describeNoRoute(app: FastifyInstance, { method, url }: { method: string; url: string }): ErrorResponse {
  const allowed = methodsAt(app, url);
  // A route that found nothing itself may get it too.
  if (allowed.length === 0 || allowed.includes(method)) {
    return { status: 404, code: 'not_found', detail: 'There is nothing here.', headers: {} };
  }
  const headers = { allow: allowed.join(', ') };
  return { status: 405, code: 'method_not_allowed', detail: `Use ${allowed.join(' or ')}.`, headers };
}
