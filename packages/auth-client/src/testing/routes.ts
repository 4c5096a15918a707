import {
  MAX_REVOCATIONS_WAIT_S,
  MAX_SESSIONS_PAGE,
  REVOCATIONS_SCOPE,
  RefreshRequest,
  SessionsQuery,
  SignOutRequest,
  SignUpHeaders,
  Username,
} from '@latchkey/user-schema';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { conforms } from '../schema-check.js';
import type { Accounts } from './accounts.js';
import type { Clients } from './clients.js';
import type { TestFeed } from './feed.js';
import type { Issuing } from './issuing.js';
import { insufficientScope, invalidCredentials, invalidToken, missingToken, Refusal, toResponse } from './problems.js';

export type World = {
  accounts: Accounts;
  clients: Clients;
  feed: TestFeed;
  issuing: Issuing;
  passwordMinLength: number;
};

// The signal is given apart: that of a Request no longer works when the Request itself has been collected.
type Handler = (world: World, request: Request, more: { id: string; signal: AbortSignal }) => Promise<Response>;

// Without the pattern that the contract has for passwords: TypeBox compiles patterns without the flag that it needs.
const Credentials = Type.Object({ username: Username, password: Type.String() }, { additionalProperties: false });
const PasswordChange = Type.Object(
  { currentPassword: Type.String(), newPassword: Type.String() },
  { additionalProperties: false },
);
const LONE_SURROGATE = /\p{Surrogate}/u;

const NO_STORE = { 'cache-control': 'no-store' };

/** What the test issuer answers; `:id` stands for one segment. */
const routes: Record<string, Handler> = {
  'POST /auth/sign-up': async ({ accounts, issuing, passwordMinLength }, request) => {
    const key = readIdempotencyKey(request);
    const credentials = await readBody(request, Credentials);
    const userAgent = request.headers.get('user-agent');
    const before = accounts.find(credentials.username);
    if (before && key !== undefined && key === before.signUp?.key) {
      if (before.password !== credentials.password) {
        const detail = 'A sign-up with other credentials has had that Idempotency-Key.';
        throw new Refusal(422, 'idempotency_key_reused', detail);
      }
      const session = accounts.session(before.signUp.sessionId);
      const isAsItBegan = session?.refreshTokens.length === 1;
      return json(issuing.signedIn(isAsItBegan ? session : accounts.begin(before.user, userAgent)), 201);
    }
    checkPassword(credentials.password, passwordMinLength, '/password');
    const account = accounts.add(credentials);
    if (!account) throw new Refusal(409, 'username_taken', 'That username is taken.');
    const session = accounts.begin(account.user, userAgent);
    if (key !== undefined) account.signUp = { key, sessionId: session.id };
    return json(issuing.signedIn(session), 201);
  },
  'POST /auth/sign-in': async ({ accounts, issuing }, request) => {
    const { username, password } = await readBody(request, Credentials);
    const account = accounts.find(username);
    if (account?.password !== password || account === undefined) throw invalidCredentials();
    return json(issuing.signedIn(accounts.begin(account.user, request.headers.get('user-agent'))));
  },
  'POST /auth/refresh': async ({ accounts, issuing }, request) => {
    const session = accounts.refresh((await readBody(request, RefreshRequest)).refreshToken);
    const detail = 'The refresh token is not valid any more; sign in again.';
    if (!session) throw new Refusal(401, 'invalid_refresh_token', detail);
    return json(issuing.signedIn(session));
  },
  'POST /auth/sign-out': async (world, request) => {
    const session = currentSession(world, request);
    const { scope = 'current' } = await readBody(request, SignOutRequest, {});
    world.accounts.endAll(session, scope);
    return new Response(null, { status: 204 });
  },
  'GET /auth/me': async (world, request) => json(currentSession(world, request).user),
  'GET /auth/sessions': async (world, request) => {
    const current = currentSession(world, request);
    const query = Object.fromEntries(new URL(request.url).searchParams);
    if (!conforms(SessionsQuery, query)) throw new Refusal(400, 'invalid_request', 'The query is not valid.');
    const page = world.accounts.page(current.user, query.after, Number(query.limit ?? MAX_SESSIONS_PAGE));
    const sessions = page.sessions.map(({ id, userAgent, address, createdAt, lastUsedAt }) => {
      return { id, userAgent, address, createdAt, lastUsedAt, current: id === current.id };
    });
    return json({ ...page, sessions });
  },
  'DELETE /auth/sessions/:id': async (world, request, { id }) => {
    const { user } = currentSession(world, request);
    if (world.accounts.session(id)?.user.id !== user.id) {
      throw new Refusal(404, 'not_found', 'You have no such session.');
    }
    world.accounts.end(id);
    return new Response(null, { status: 204 });
  },
  'PUT /auth/password': async (world, request) => {
    const session = currentSession(world, request);
    const { currentPassword, newPassword } = await readBody(request, PasswordChange);
    const account = world.accounts.find(session.user.username);
    if (account?.password !== currentPassword || account === undefined) throw invalidCredentials();
    checkPassword(newPassword, world.passwordMinLength, '/newPassword');
    account.password = newPassword;
    world.accounts.endAll(session, 'others');
    return json(world.issuing.signedIn(world.accounts.rotate(session)));
  },
  'GET /auth/verify': async (world, request) => {
    const { id, user } = currentSession(world, request);
    const headers = { 'x-auth-user-id': user.id, 'x-auth-username': user.username, 'x-auth-session-id': id };
    return new Response(null, { headers });
  },
  'GET /.well-known/jwks.json': async ({ issuing }) => json(issuing.jwks(), 200, { 'cache-control': 'max-age=300' }),
  'POST /oauth/token': async ({ clients, issuing }, request) => {
    const form = new URLSearchParams(await request.text());
    const { id, scope } = clients.grant(form, request.headers.get('authorization'));
    const { token, expiresIn } = issuing.serviceToken(id, scope);
    return json({ access_token: token, token_type: 'Bearer', expires_in: expiresIn, scope });
  },
  'GET /auth/revocations': async ({ feed, issuing }, request, { signal }) => {
    const { scope } = readBearer(issuing, request);
    if (typeof scope !== 'string') throw invalidToken();
    if (!scope.split(' ').includes(REVOCATIONS_SCOPE)) throw insufficientScope(REVOCATIONS_SCOPE);
    const query = new URL(request.url).searchParams;
    const after = query.get('after') ?? undefined;
    const wait = Number(query.get('wait') ?? 0);
    if ((after !== undefined && !feed.isCursor(after)) || !(wait >= 0)) {
      throw new Refusal(400, 'invalid_request', 'The query is not valid.');
    }
    if (after === feed.cursor()) {
      await feed.next(Math.min(wait, MAX_REVOCATIONS_WAIT_S) * 1000, signal);
    }
    const keys = issuing.jwks().keys.map(({ kid }) => kid);
    return json({ cursor: feed.cursor(), revoked: feed.since(after), keys });
  },
};

/** Answers a request as the auth-service would. */
export async function answer(world: World, request: Request, signal: AbortSignal): Promise<Response> {
  const { pathname } = new URL(request.url);
  const [, folder, id = ''] = /^(\/auth\/sessions)\/([^/]+)$/.exec(pathname) ?? [];
  try {
    const handle = routes[`${request.method} ${folder ? `${folder}/:id` : pathname}`];
    if (!handle) throw new Refusal(404, 'not_found', 'There is nothing here.');
    return await handle(world, request, { id, signal });
  } catch (error) {
    if (error instanceof Refusal) return toResponse(error, pathname.startsWith('/oauth/'));
    throw error;
  }
}

function json(body: unknown, status = 200, headers: Record<string, string> = NO_STORE): Response {
  return Response.json(body, { status, headers });
}

async function readBody<S extends TSchema>(request: Request, schema: S, whenEmpty?: Static<S>): Promise<Static<S>> {
  const text = await request.text();
  if (text === '' && whenEmpty !== undefined) return whenEmpty;
  if (!request.headers.get('content-type')?.startsWith('application/json')) {
    throw new Refusal(415, 'unsupported_media_type', 'Send the body as Content-Type: application/json.');
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Refusal(400, 'invalid_json', 'The body is not valid JSON.');
  }
  if (conforms(schema, body) && !LONE_SURROGATE.test(Object.values(body as object).join(' '))) return body;
  throw new Refusal(400, 'invalid_request', 'The body is not what the contract says.');
}

function readIdempotencyKey({ headers }: Request): string | undefined {
  const header = headers.get('idempotency-key');
  if (header === null) return undefined;
  if (conforms(SignUpHeaders, { 'idempotency-key': header })) {
    return header.startsWith('"') ? header.slice(1, -1).replace(/\\(.)/g, '$1') : header;
  }
  const errors = [{ pointer: '/idempotency-key', detail: 'is not 1 to 255 visible ASCII characters' }];
  throw new Refusal(400, 'invalid_request', 'The Idempotency-Key is not valid.', { errors });
}

function checkPassword(password: string, minLength: number, pointer: string): void {
  if ([...password].length >= minLength) return;
  const detail = `The password needs at least ${minLength} characters.`;
  throw new Refusal(400, 'password_rejected', detail, { errors: [{ pointer, detail, reason: 'too_short' }] });
}

function readBearer({ read }: Issuing, { headers }: Request): Record<string, unknown> {
  const authorization = headers.get('authorization');
  if (authorization === null) throw missingToken();
  const claims = read(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
  if (!claims) throw invalidToken();
  return claims;
}

function currentSession({ accounts, issuing }: World, request: Request) {
  const session = accounts.session(String(readBearer(issuing, request)['sid']));
  if (!session) throw invalidToken();
  return session;
}
