import {
  ACRS,
  describeFault,
  MAX_REVOCATIONS_WAIT_S,
  MAX_SESSIONS_PAGE,
  metadataOf,
  openIdConfigurationOf,
  REVOCATIONS_SCOPE,
  RefreshRequest,
  SessionsQuery,
  SignOutRequest,
  VerifyQuery,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { conforms } from '../schema-check.js';
import { nowS } from './accounts.js';
import { anySession, currentSession, requireDemand, requireFresh, requireHighest } from './current-session.js';
import { emailRoutes } from './email-routes.js';
import { factorRoutes } from './factor-routes.js';
import { acrOf } from './factors.js';
import { invalidMember, nonconforming } from './faults.js';
import { passkeyRoutes } from './passkey-routes.js';
import { passkeySignUpRoutes } from './passkey-sign-up-routes.js';
import { insufficientScope, invalidCredentials, invalidToken, notFound, ProblemError, toResponse } from './problems.js';
import { recoveryRoutes } from './recovery-routes.js';
import {
  checkPassword,
  empty,
  type Handler,
  type IssuerState,
  json,
  Password,
  readBearer,
  readBody,
} from './requests.js';
import { signInRoutes } from './sign-in-routes.js';
import { signUp } from './sign-up.js';
import { stepUpRoutes } from './step-up-routes.js';

const PasswordChange = Type.Object(
  { currentPassword: Type.Optional(Password), newPassword: Password },
  { additionalProperties: false },
);

// TypeBox does not know `enum`, by which the contract lists them.
const KnownAcr = Type.Optional(Type.Union([...ACRS.map(acr => Type.Literal(acr)), Type.Undefined()]));
// Of tokens of the version before.
const LEAST_ACR = 'aal1';

/** The routes of the test issuer; `:id` stands for one segment. */
const routes: Record<string, Handler> = {
  ...emailRoutes,
  ...recoveryRoutes,
  ...signInRoutes,
  ...stepUpRoutes,
  ...factorRoutes,
  ...passkeyRoutes,
  ...passkeySignUpRoutes,
  'POST /auth/sign-up': signUp,
  'POST /auth/refresh': async ({ accounts, tokens }, request) => {
    const session = accounts.refresh((await readBody(request, RefreshRequest)).refreshToken);
    const detail = 'The refresh token is not valid any more; sign in again.';
    if (!session) throw new ProblemError(401, 'invalid_refresh_token', detail);
    return json(tokens.signedIn(session));
  },
  'POST /auth/sign-out': async (state, request) => {
    const { session } = anySession(state, request);
    const { scope = 'current' } = await readBody(request, SignOutRequest, {});
    state.accounts.endSessions(session, scope);
    return empty(204);
  },
  'GET /auth/me': async (state, request) => json(currentSession(state, request).account.user),
  'GET /auth/sessions': async (state, request) => {
    const { session: current } = currentSession(state, request);
    const query = Object.fromEntries(new URL(request.url).searchParams);
    if (!conforms(SessionsQuery, query)) throw nonconforming('querystring', SessionsQuery, query);
    const page = state.accounts.listSessions(current.user, query.after, Number(query.limit ?? MAX_SESSIONS_PAGE));
    const sessions = page.sessions.map(({ id, userAgent, address, createdAt, lastUsedAt }) => {
      return { id, userAgent, address, createdAt, lastUsedAt, current: id === current.id };
    });
    return json({ ...page, sessions });
  },
  'DELETE /auth/sessions/:id': async (state, request, { id }) => {
    const { user } = currentSession(state, request).account;
    if (state.accounts.findSession(id)?.user.id !== user.id) {
      throw notFound('such session');
    }
    state.accounts.endSession(id);
    return empty(204);
  },
  'PUT /auth/password': async (state, request) => {
    const current = requireHighest(currentSession(state, request));
    const { account, session } = current;
    const { currentPassword, newPassword } = await readBody(request, PasswordChange);
    if (currentPassword !== undefined) {
      if (account.password !== currentPassword) throw invalidCredentials();
    } else if (account.password !== undefined) {
      throw invalidMember('/currentPassword', 'required', 'This is required: the account has a password.');
    } else {
      requireFresh(state, current);
    }
    checkPassword(newPassword, state.passwordMinLength, '/newPassword');
    account.password = newPassword;
    account.credentialVersion++;
    // A password does not make the proof of a second factor any younger.
    if (acrOf(session.amr) === 'aal1') session.authTime = nowS();
    state.accounts.endSessions(session, 'others');
    state.links.removeAllOf(account);
    state.mailbox.sendNotice('password-changed', account.user.email);
    return json(state.tokens.signedIn(state.accounts.rotate(session)));
  },
  'GET /auth/verify': async (state, request) => {
    const query = Object.fromEntries(new URL(request.url).searchParams);
    if (!conforms(VerifyQuery, query)) throw nonconforming('querystring', VerifyQuery, query);
    if (!conforms(KnownAcr, query.acr)) {
      const { reason, detail } = describeFault('enum', VerifyQuery.properties.acr);
      throw invalidMember('/acr', reason, detail, 'querystring');
    }
    const { acr, max_age: maxAge } = query;
    const current = currentSession(state, request);
    requireDemand(current, { ...(acr && { acr }), ...(maxAge !== undefined && { maxAgeS: Number(maxAge) }) });
    const { id: userId, username } = current.account.user;
    const headers = { 'x-auth-user-id': userId, 'x-auth-username': username, 'x-auth-session-id': current.session.id };
    return new Response(null, { headers: { ...headers, 'x-auth-acr': current.claims.acr ?? LEAST_ACR } });
  },
  'GET /.well-known/jwks.json': async ({ tokens }) => json(tokens.jwks(), 200, { 'cache-control': 'max-age=300' }),
  'GET /.well-known/oauth-authorization-server': async ({ tokens }) => json(metadataOf(tokens.issuer)),
  'GET /.well-known/openid-configuration': async ({ tokens }) => json(openIdConfigurationOf(tokens.issuer)),
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
    if (after !== undefined && !feed.isCursor(after)) {
      throw invalidMember('/after', 'pattern', 'This is not a cursor of this feed.', 'querystring');
    }
    if (!(wait >= 0)) throw invalidMember('/wait', 'pattern', 'A number of seconds.', 'querystring');
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
  const [, folder, id = ''] = /^(\/auth\/(?:sessions|passkeys))\/([^/]+)$/.exec(pathname) ?? [];
  try {
    const handle = routes[`${request.method} ${pathname}`] ?? routes[`${request.method} ${folder}/:id`];
    if (!handle) throw new ProblemError(404, 'not_found', 'There is nothing here.');
    return await handle(state, request, { id, signal });
  } catch (error) {
    if (error instanceof ProblemError) return toResponse(error, pathname.startsWith('/oauth/'));
    throw error;
  }
}
