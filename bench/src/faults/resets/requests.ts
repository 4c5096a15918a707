import { randomUUID } from 'node:crypto';

/** A person who signs in, from one address. */
export type Owner = { username: string; password: string; address: string; token: string; refreshToken: string };

/** A request as it is written to a connection: the header fields, and the body. */
export type RawRequest = { route: string; head: string; body: string };

/** Makes one request at random. */
export type Choose = () => RawRequest;

const LONG_POLL = '/auth/revocations?wait=30&after=';
const METHODS_OF_NOTES = ['GET /notes', 'POST /notes', `DELETE /notes/${randomUUID()}`, 'GET /notes/profile'];
const NOWHERE = ['GET /livez', 'GET /readyz', 'GET /nowhere', 'GET /%zz', 'OPTIONS /auth/sign-in', 'TRACE /auth/me'];
const DOCUMENTS = ['GET /docs', 'GET /docs/static/swagger-ui-bundle.js', 'GET /openapi.json'];

/** Requests of every route that the service describes, its documents, and some that it has no route for. */
export function authRequests(
  paths: Record<string, object>,
  owner: Owner,
  serviceToken: string,
  cursor: string,
): Choose {
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, randomUUID())}`),
  );
  const routes = [...described, ...DOCUMENTS, ...NOWHERE, `GET ${LONG_POLL}${cursor}`];
  const bodies: Record<string, () => object> = {
    'POST /auth/sign-in': () => ({ username: owner.username, password: owner.password }),
    'POST /auth/sign-up': () => ({ username: `user-${randomUUID()}`, password: 'open sesame 42' }),
    'POST /auth/refresh': () => ({ refreshToken: owner.refreshToken }),
    'PUT /auth/password': () => ({ currentPassword: owner.password, newPassword: owner.password }),
  };
  return () => {
    // Hashes are what a reset can leave behind: one in four of all requests wants one.
    const route = Math.random() < 0.25 ? pick(['POST /auth/sign-in', 'POST /auth/sign-up']) : pick(routes);
    const token = route.includes('/auth/revocations') ? serviceToken : owner.token;
    // A sign-out would end the session that all others need.
    const body = route === 'POST /auth/sign-out' ? () => ({ scope: 'nothing' }) : bodies[route];
    const isForm = route.includes('/oauth/');
    const text = isForm ? 'grant_type=client_credentials&token=x' : JSON.stringify(body?.() ?? {});
    return write(route, text, token, isForm, owner.address);
  };
}

/** Requests of every route of notes-service. */
export function notesRequests(owner: Owner): Choose {
  const routes = [...METHODS_OF_NOTES, ...NOWHERE];
  return () => write(pick(routes), JSON.stringify({ text: 'a note' }), owner.token, false, owner.address);
}

export function pick<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)] as T;
}

function write(route: string, text: string, token: string, isForm: boolean, address: string): RawRequest {
  const body = /^(GET|OPTIONS|TRACE|DELETE)/.test(route) ? '' : text;
  const type = isForm ? 'application/x-www-form-urlencoded' : 'application/json';
  const lines = [
    `${route} HTTP/1.1`,
    'Host: auth.bench',
    `Authorization: Bearer ${token}`,
    `X-Forwarded-For: ${address}`,
    ...(body ? [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`] : []),
  ];
  return { route, head: `${lines.join('\r\n')}\r\n\r\n`, body };
}
