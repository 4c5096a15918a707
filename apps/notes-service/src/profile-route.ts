import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { AuthProblemError, createAuthClient } from '@latchkey/auth-client';
import { AuthGuardError } from '@latchkey/auth-client/fastify';
import { problemResponses } from '@latchkey/service-kit/http';
import { demandChallenge, User } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { WithConfig } from './config.js';
import { AuthUnavailableError, TokenNotAcceptedError } from './errors.js';
import { countNotes } from './stored-notes.js';

const Profile = Type.Object({ user: User, noteCount: Type.Integer() });

/** What auth-service says of the token is said of the request: the page can sign in again, or step up. */
function describeRefusal(cause: AuthProblemError): Error {
  if (cause.code === 'invalid_token') return new TokenNotAcceptedError({ cause });
  if (cause.code !== 'insufficient_user_authentication') return new AuthUnavailableError({ cause });
  return new AuthGuardError(cause.code, cause.message, {
    cause,
    headers: { 'www-authenticate': demandChallenge(cause) },
  });
}

/** Who one is, asked of auth-service over HTTP, so that a disabled account shows at once. */
export const profileRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const auth = createAuthClient({ baseUrl: config.authUrl, timeoutMs: 3000 });

  const schema = { response: { 200: Profile, ...problemResponses(AuthUnavailableError) } };
  app.get('/notes/profile', { schema, onRequest: app.authenticate }, async request => {
    const token = request.headers.authorization?.slice('Bearer '.length).trim() ?? '';
    const [user, noteCount] = await Promise.all([
      auth.me(token).catch(cause => {
        throw cause instanceof AuthProblemError ? describeRefusal(cause) : new AuthUnavailableError({ cause });
      }),
      countNotes(app.pg, request.user.id),
    ]);
    return { user, noteCount };
  });
};
