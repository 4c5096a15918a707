import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { PasswordSettings } from '../../config/sections/passwords.js';
import { PasswordRejectedError } from '../../http/errors.js';
import type { Attempt } from '../../throttles/index.js';
import { isBreached } from './breach-list.js';
import { judgePassword, type Rejection } from './policy.js';

/** A new password: whose it is to be, and where it stands in the body. */
type NewPassword = { password: string; of: { username: string }; pointer: string };

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Judges the new password of a request. The attempt fails when the list of breached passwords had to be asked for a
     * password that is refused: that costs a request to somebody else.
     *
     * @throws PasswordRejectedError with the reason
     */
    checkNewPassword(request: FastifyRequest, attempt: Attempt, password: NewPassword): Promise<void>;
  }
}

const BREACHED: Rejection = {
  reason: 'breached',
  detail: 'The password is in a list of passwords that were stolen elsewhere.',
};

/** Decides which new passwords are good enough. */
export default fp<{ config: PasswordSettings }>(
  async (app, { config }) => {
    const { passwordMinLength, passwordBreachUrl: baseUrl, passwordBreachTimeoutMs: timeoutMs } = config;

    const isListed = async (request: FastifyRequest, password: string): Promise<boolean> => {
      if (baseUrl === undefined) return false;
      try {
        return await isBreached(password, baseUrl, timeoutMs);
      } catch (error) {
        app.count('latchkey_breach_check_failures_total');
        // A sign-up must not depend on somebody else's service.
        request.log.warn({ err: error, event: 'breach_check_failed' }, 'cannot ask the list of breached passwords');
        return false;
      }
    };

    app.decorate('checkNewPassword', async (request, attempt, { password, of, pointer }) => {
      const rejection = await judgePassword(password, of.username, passwordMinLength);
      if (rejection) throw rejected(rejection, pointer);
      if (!(await isListed(request, password))) return;
      await attempt.failed();
      throw rejected(BREACHED, pointer);
    });
  },
  { name: 'password-policy', dependencies: ['metrics'] },
);

function rejected({ reason, detail }: Rejection, pointer: string): Error {
  return Object.assign(new PasswordRejectedError(detail), { errors: [{ pointer, detail, reason }] });
}
