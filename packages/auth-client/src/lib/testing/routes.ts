import {
  MAX_REVOCATIONS_WAIT_S,
  MAX_SESSIONS_PAGE,
  REVOCATIONS_SCOPE,
  RefreshRequest,
  SessionsQuery,
  SignInName,
  SignOutRequest,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { conforms } from '../schema-check.js';
import { emailRoutes } from './email-routes.js';
import { insufficientScope, invalidCredentials, invalidToken, ProblemError, toResponse } from './problems.js';
import { recoveryRoutes } from './recovery-routes.js';
import {
  checkPassword,
  currentSession,
  empty,
  type Handler,
  type IssuerState,
  json,
  Password,
  readBearer,
  readBody,
} from './requests.js';
import { signUp } from './sign-up.js';

const SignInRequest = Type.Object({ username: SignInName, password: Password }, { additionalProperties: false });
const PasswordChange = Type.Object(
  { currentPassword: Password, newPassword: Password },
  { additionalProperties: false },
);

/** The routes of the test issuer; `:id` stands for one segment. */
const routes: Record<string, Handler> = {
  ...emailRoutes,
  ...recoveryRoutes,
  'POST /auth/sign-up': signUp,
  'POST /auth/sign-in': async ({ accounts, tokens }, request) => {
    const { username, password } = await readBody(request, SignInRequest);
    const account = accounts.find(username) ?? accounts.findByEmail(username);
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
    return empty(204);
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
    return empty(204);
  },
  'PUT /auth/password': async (state, request) => {
    const session = currentSession(state, request);
    const { currentPassword, newPassword } = await readBody(request, PasswordChange);
    const account = state.accounts.find(session.user.username);
    if (account?.password !== currentPassword || account === undefined) throw invalidCredentials();
    checkPassword(newPassword, state.passwordMinLength, '/newPassword');
    account.password = newPassword;
    state.accounts.endSessions(session, 'others');
    state.links.removeAllOf(account);
    state.mailbox.sendNotice('password-changed', account.user.email);
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
