import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { RequestIds } from './request-ids.js';

/** What an early response is made of. */
export type EarlyRequest = {
  /** The only `Authorization` field of the request. */
  authorization: string;
  requestId: string;
};

/**
 * Responds to a GET of a path before Fastify sees it, exactly as its route does, or leaves it to the route.
 *
 * @returns the status when it has responded; otherwise `undefined`
 */
export type EarlyResponder = (request: EarlyRequest, response: ServerResponse) => number | undefined;

/** Called when an early response has been sent. */
type TakeNote = (route: string, status: number, seconds: number) => void;

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Adds a responder for GET requests of a path, without a query, that have one `Authorization` field. Such a request costs half of
     * what Fastify's hooks make of it, so this is for what is asked with every request of a gateway, and for nothing else.
     */
    respondEarly(path: string, responder: EarlyResponder): void;
    /** Adds what is called when an early response has been sent, as `onResponse` is for all others. */
    onEarlyResponse(takeNote: TakeNote): void;
    /** Leaves all requests to Fastify from now on. */
    stopEarlyResponses(): void;
  }
}

const AUTHORIZATION = 'authorization';
const REQUEST_ID = 'x-request-id';

/** Passes requests to the early responders of a service, and those that have none to Fastify. */
export function createEarlyResponses(ids: RequestIds): {
  /** Makes Fastify's listener get what no responder responds to. */
  wrap: (listener: RequestListener) => RequestListener;
  add: FastifyInstance['respondEarly'];
  onResponse: FastifyInstance['onEarlyResponse'];
  stop: FastifyInstance['stopEarlyResponses'];
} {
  const responders = new Map<string, EarlyResponder>();
  const takers: TakeNote[] = [];

  const respond = (request: IncomingMessage, response: ServerResponse): boolean => {
    const path = request.url as string;
    const responder = request.method === 'GET' ? responders.get(path) : undefined;
    if (responder === undefined) return false;
    const begunAt = performance.now();
    // `request.headers` would be made for this alone.
    const { rawHeaders } = request;
    let authorization: string | undefined;
    let hasId = false;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      if (name.length === AUTHORIZATION.length && name.toLowerCase() === AUTHORIZATION) {
        if (authorization !== undefined) return false;
        authorization = rawHeaders[i + 1] as string;
      } else if (name.length === REQUEST_ID.length && name.toLowerCase() === REQUEST_ID) hasId = true;
    }
    if (authorization === undefined) return false;
    const status = responder({ authorization, requestId: hasId ? ids.of(request) : ids.next() }, response);
    if (status === undefined) return false;
    for (const takeNote of takers) takeNote(path, status, (performance.now() - begunAt) / 1000);
    return true;
  };

  return {
    wrap:
      (listener: RequestListener): RequestListener =>
      (request, response) => {
        if (!respond(request, response)) listener(request, response);
      },
    add: (path: string, responder: EarlyResponder) => void responders.set(path, responder),
    onResponse: (takeNote: TakeNote) => void takers.push(takeNote),
    stop: () => responders.clear(),
  };
}
