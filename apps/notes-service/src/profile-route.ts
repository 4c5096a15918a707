import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { AuthProblemError, createAuthClient } from '@latchkey/auth-client';
import { problemResponses } from '@latchkey/service-kit/http';
import { User } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { WithConfig } from './config.js';
import { AuthUnavailableError, TokenNotAcceptedError } from './errors.js';
import { countNotes } from './stored-notes.js';

const Profile = Type.Object({ user: User, noteCount: Type.Integer() });

/** Who one is, asked of auth-service over HTTP, so that a disabled account shows at once. */
export const profileRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const auth = createAuthClient({ baseUrl: config.authUrl, timeoutMs: 3000 });

  const schema = { response: { 200: Profile, ...problemResponses(401) } };
  app.get('/notes/profile', { schema, onRequest: app.authenticate }, async request => {
    const token = request.headers.authorization?.slice('Bearer '.length).trim() ?? '';
    const [user, noteCount] = await Promise.all([
      auth.me(token).catch(cause => {
        const refused = cause instanceof AuthProblemError && cause.code === 'invalid_token';
        throw refused ? new TokenNotAcceptedError({ cause }) : new AuthUnavailableError({ cause });
      }),
      countNotes(app.pg, request.user.id),
    ]);
    return { user, noteCount };
  });
};
