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
import {
  insufficientScope,
  invalidCredentials,
  invalidToken,
  missingToken,
  ProblemError,
  toResponse,
} from './problems.js';
import type { TestTokens } from './tokens.js';

/** What the handlers of a test issuer work on. */
export type IssuerState = {
  accounts: Accounts;
  clients: Clients;
  feed: TestFeed;
  tokens: TestTokens;
  passwordMinLength: number;
};

// The signal is an argument of its own: that of a Request stops working when the Request is garbage-collected.
type Handler = (
  state: IssuerState,
  request: Request,
  context: { id: string; signal: AbortSignal },
) => Promise<Response>;

// Without the contract's pattern of a password, which needs the flag `u`: TypeBox compiles patterns without it.
const Credentials = Type.Object({ username: Username, password: Type.String() }, { additionalProperties: false });
const PasswordChange = Type.Object(
  { currentPassword: Type.String(), newPassword: Type.String() },
  { additionalProperties: false },
);
const LONE_SURROGATE = /\p{Surrogate}/u;

const NO_STORE = { 'cache-control': 'no-store' };

/** The routes of the test issuer; `:id` stands for one segment. */
const routes: Record<string, Handler> = {
  'POST /auth/sign-up': async ({ accounts, tokens, passwordMinLength }, request) => {
    const key = readIdempotencyKey(request);
    const credentials = await readBody(request, Credentials);
    const userAgent = request.headers.get('user-agent');
    const before = accounts.find(credentials.username);
    if (before && key !== undefined && key === before.signUp?.key) {
      if (before.password !== credentials.password) {
        const detail = 'A sign-up with other credentials has had that Idempotency-Key.';
        throw new ProblemError(422, 'idempotency_key_reused', detail);
      }
      const session = accounts.findSession(before.signUp.sessionId);
      const isUnchanged = session?.refreshTokens.length === 1;
      return json(tokens.signedIn(isUnchanged ? session : accounts.startSession(before.user, userAgent)), 201);
    }
    checkPassword(credentials.password, passwordMinLength, '/password');
    const account = accounts.add(credentials);
    if (!account) throw new ProblemError(409, 'username_taken', 'That username is taken.');
    const session = accounts.startSession(account.user, userAgent);
    if (key !== undefined) account.signUp = { key, sessionId: session.id };
    return json(tokens.signedIn(session), 201);
  },
  'POST /auth/sign-in': async ({ accounts, tokens }, request) => {
    const { username, password } = await readBody(request, Credentials);
    const account = accounts.find(username);
    if (account?.password !== password || account === undefined) throw invalidCredentials();
    return json(tokens.signedIn(accounts.startSession(account.user, request.headers.get('user-agent'))));
  },
  'POST /auth/refresh': async ({ accounts, tokens }, request) => {
    const session = accounts.refresh((await readBody(request, RefreshRequest)).refreshToken);
    const detail = 'The refresh token is not valid any more; sign in again.';
    if (!session) throw new ProblemError(401, 'invalid_refresh_token', detail);
    return json(tokens.signedIn(session));
  },
  'POST /auth/sign-out': async (state, request) => {
    const session = currentSession(state, request);
    const { scope = 'current' } = await readBody(request, SignOutRequest, {});
    state.accounts.endSessions(session, scope);
    return new Response(null, { status: 204 });
  },
  'GET /auth/me': async (state, request) => json(currentSession(state, request).user),
  'GET /auth/sessions': async (state, request) => {
    const current = currentSession(state, request);
    const query = Object.fromEntries(new URL(request.url).searchParams);
    if (!conforms(SessionsQuery, query)) throw new ProblemError(400, 'invalid_request', 'The query is not valid.');
    const page = state.accounts.listSessions(current.user, query.after, Number(query.limit ?? MAX_SESSIONS_PAGE));
    const sessions = page.sessions.map(({ id, userAgent, address, createdAt, lastUsedAt }) => {
      return { id, userAgent, address, createdAt, lastUsedAt, current: id === current.id };
    });
    return json({ ...page, sessions });
  },
  'DELETE /auth/sessions/:id': async (state, request, { id }) => {
    const { user } = currentSession(state, request);
    if (state.accounts.findSession(id)?.user.id !== user.id) {
      throw new ProblemError(404, 'not_found', 'You have no such session.');
    }
    state.accounts.endSession(id);
    return new Response(null, { status: 204 });
  },
  'PUT /auth/password': async (state, request) => {
    const session = currentSession(state, request);
    const { currentPassword, newPassword } = await readBody(request, PasswordChange);
    const account = state.accounts.find(session.user.username);
    if (account?.password !== currentPassword || account === undefined) throw invalidCredentials();
    checkPassword(newPassword, state.passwordMinLength, '/newPassword');
    account.password = newPassword;
    state.accounts.endSessions(session, 'others');
    return json(state.tokens.signedIn(state.accounts.rotate(session)));
  },
  'GET /auth/verify': async (state, request) => {
    const { id, user } = currentSession(state, request);
    const headers = { 'x-auth-user-id': user.id, 'x-auth-username': user.username, 'x-auth-session-id': id };
    return new Response(null, { headers });
  },
  'GET /.well-known/jwks.json': async ({ tokens }) => json(tokens.jwks(), 200, { 'cache-control': 'max-age=300' }),
  'POST /oauth/token': async ({ clients, tokens }, request) => {
    const form = new URLSearchParams(await request.text());
    const { id, scope } = clients.grant(form, request.headers.get('authorization'));
    const { token, expiresIn } = tokens.serviceToken(id, scope);
    return json({ access_token: token, token_type: 'Bearer', expires_in: expiresIn, scope });
  },
  'GET /auth/revocations': async ({ feed, tokens }, request, { signal }) => {
    const { scope } = readBearer(tokens, request);
    if (typeof scope !== 'string') throw invalidToken();
    if (!scope.split(' ').includes(REVOCATIONS_SCOPE)) throw insufficientScope(REVOCATIONS_SCOPE);
    const query = new URL(request.url).searchParams;
    const after = query.get('after') ?? undefined;
    const wait = Number(query.get('wait') ?? 0);
    if ((after !== undefined && !feed.isCursor(after)) || !(wait >= 0)) {
      throw new ProblemError(400, 'invalid_request', 'The query is not valid.');
    }
    if (after === feed.cursor()) {
      await feed.next(Math.min(wait, MAX_REVOCATIONS_WAIT_S) * 1000, signal);
    }
    const keys = tokens.jwks().keys.map(({ kid }) => kid);
    return json({ cursor: feed.cursor(), revoked: feed.since(after), keys });
  },
};

/** Responds to a request as the auth-service does. */
export async function handleRequest(state: IssuerState, request: Request, signal: AbortSignal): Promise<Response> {
  const { pathname } = new URL(request.url);
  const [, folder, id = ''] = /^(\/auth\/sessions)\/([^/]+)$/.exec(pathname) ?? [];
  try {
    const handle = routes[`${request.method} ${folder ? `${folder}/:id` : pathname}`];
    if (!handle) throw new ProblemError(404, 'not_found', 'There is nothing here.');
    return await handle(state, request, { id, signal });
  } catch (error) {
    if (error instanceof ProblemError) return toResponse(error, pathname.startsWith('/oauth/'));
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
    throw new ProblemError(415, 'unsupported_media_type', 'Send the body as Content-Type: application/json.');
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new ProblemError(400, 'invalid_json', 'The body is not valid JSON.');
  }
  if (conforms(schema, body) && !LONE_SURROGATE.test(Object.values(body as object).join(' '))) return body;
  throw new ProblemError(400, 'invalid_request', 'The body is not what the contract says.');
}

function readIdempotencyKey({ headers }: Request): string | undefined {
  const header = headers.get('idempotency-key');
  if (header === null) return undefined;
  if (conforms(SignUpHeaders, { 'idempotency-key': header })) {
    return header.startsWith('"') ? header.slice(1, -1).replace(/\\(.)/g, '$1') : header;
  }
  const errors = [{ pointer: '/idempotency-key', detail: 'is not 1 to 255 visible ASCII characters' }];
  throw new ProblemError(400, 'invalid_request', 'The Idempotency-Key is not valid.', { errors });
}

function checkPassword(password: string, minLength: number, pointer: string): void {
  if ([...password].length >= minLength) return;
  const detail = `The password needs at least ${minLength} characters.`;
  throw new ProblemError(400, 'password_rejected', detail, { errors: [{ pointer, detail, reason: 'too_short' }] });
}

function readBearer({ read }: TestTokens, { headers }: Request): Record<string, unknown> {
  const authorization = headers.get('authorization');
  if (authorization === null) throw missingToken();
  const claims = read(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
  if (!claims) throw invalidToken();
  return claims;
}

function currentSession({ accounts, tokens }: IssuerState, request: Request) {
  const session = accounts.findSession(String(readBearer(tokens, request)['sid']));
  if (!session) throw invalidToken();
  return session;
}
