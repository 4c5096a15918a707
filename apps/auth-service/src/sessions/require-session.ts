import type { User } from '@latchkey/user-schema';
import type { preHandlerAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { InvalidTokenError } from '../http/errors.js';
import { findSessionUser } from './stored-sessions.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook behind `authenticate` that asks the database whether the session is alive, and sets `request.account`. */
    requireSession: preHandlerAsyncHookHandler;
  }
  interface FastifyRequest {
    account: User;
  }
}

/** Asks for live sessions. */
export default fp(
  async app => {
    app.decorateRequest('account');
    app.decorate('requireSession', async request => {
      const account = await findSessionUser(app.pg, request.user.sid);
      if (!account) throw new InvalidTokenError();
      request.account = account;
    });
  },
  { name: 'sessions', dependencies: ['database', 'tokens'] },
);
