import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { WithConfig } from '../../config/settings.js';
import { PasswordRejectedError } from '../../http/errors.js';
import { isBreached } from './breach-list.js';
import { judgePassword, type Rejection } from './policy.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Judges the new password of a request.
     *
     * @param pointer where the password stands in the body
     * @throws PasswordRejectedError with the reason
     */
    checkNewPassword(request: FastifyRequest, password: string, username: string, pointer: string): Promise<void>;
  }
  interface FastifyRequest {
    /** Whether the list of breached passwords was asked for this request. */
    hasConsultedList: boolean;
  }
}

const BREACHED: Rejection = {
  reason: 'breached',
  detail: 'The password is in a list of passwords that were stolen elsewhere.',
};

/** Decides which new passwords are good enough. */
export default fp<WithConfig>(
  async (app, { config }) => {
    const { passwordMinLength, passwordBreachUrl: baseUrl, passwordBreachTimeoutMs: timeoutMs } = config;

    const isListed = async (request: FastifyRequest, password: string): Promise<boolean> => {
      if (baseUrl === undefined) return false;
      request.hasConsultedList = true;
      try {
        return await isBreached(password, baseUrl, timeoutMs);
      } catch (error) {
        app.count('latchkey_breach_check_failures_total');
        // Whoever wants to sign up must not depend on somebody else's service.
        request.log.warn({ err: error, event: 'breach_check_failed' }, 'cannot ask the list of breached passwords');
        return false;
      }
    };

    app.decorateRequest('hasConsultedList', false);
    app.decorate('checkNewPassword', async (request, password, username, pointer) => {
      const rejection = await judgePassword(password, username, passwordMinLength);
      if (rejection) throw rejected(rejection, pointer);
      if (await isListed(request, password)) throw rejected(BREACHED, pointer);
    });
  },
  { name: 'password-policy', dependencies: ['metrics'] },
);

function rejected({ reason, detail }: Rejection, pointer: string): Error {
  return Object.assign(new PasswordRejectedError(detail), { errors: [{ pointer, detail, reason }] });
}
