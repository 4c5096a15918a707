import type { ErrorAnswer } from './problems.js';

/** What is used of a Fastify app. */
export interface RouteTable {
  supportedMethods: string[];
  findRoute(route: { url: string; method: string }): unknown;
}

/** The methods that there is a route for. */
export function methodsAt(app: RouteTable, url: string): string[] {
  const [path = ''] = url.split('?', 1);
  return app.supportedMethods.filter(method => app.findRoute({ url: path, method }));
}

/** Decides how a request that no route takes is answered: 405 where another method would do, otherwise 404. */
export function describeNoRoute(app: RouteTable, { method, url }: { method: string; url: string }): ErrorAnswer {
  const allowed = methodsAt(app, url);
  // A route that found nothing itself may be answered so too.
  if (allowed.length === 0 || allowed.includes(method)) {
    return { status: 404, code: 'not_found', detail: 'There is nothing here.', headers: {} };
  }
  const headers = { allow: allowed.join(', ') };
  return { status: 405, code: 'method_not_allowed', detail: `Use ${allowed.join(' or ')}.`, headers };
}
