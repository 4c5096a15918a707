import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { RecoveryCodes } from '@latchkey/user-schema';
import { logEvents, originOf } from '../../events/recorder.js';
import { InsufficientAuthenticationError, NotFoundError, TooManyRequestsError } from '../../http/errors.js';
import { tooManyMails } from '../../throttles/index.js';
import { lockFreshSession } from '../lock-session.js';
import { renewCodes } from './stored-codes.js';

/** Recovery codes: what stands for a second factor that is lost. */
export const recoveryCodes: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    operationId: 'renewRecoveryCodes',
    summary: 'Make new recovery codes; the old ones are void',
    security: [{ bearer: [] }],
    response: {
      200: RecoveryCodes,
      ...problemResponses(InsufficientAuthenticationError, NotFoundError, TooManyRequestsError),
    },
  };
  const options = {
    config: { audience: 'browsers' as const },
    schema,
    onRequest: app.authenticate,
    preHandler: [app.requireSession, app.requireFresh],
  };
  app.post('/auth/recovery-codes', options, async request => {
    const { id } = request.account;
    // Its owner is told of each by a mail.
    if (!(await app.throttles.takeMail('codes', id))) throw tooManyMails();
    const { codes, events } = await transact(app.pg, async client => {
      const { highestAcr } = await lockFreshSession(client, request);
      if (highestAcr === 'aal1') throw new NotFoundError('second factor that recovery codes could replace');
      return renewCodes(client, id, originOf(request, `account:${id}`));
    });
    logEvents(request, events);
    return { recoveryCodes: codes };
  });
};
