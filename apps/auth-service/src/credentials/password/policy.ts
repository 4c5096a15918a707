import { MAX_PASSWORD_LENGTH, type ProblemReason } from '@latchkey/user-schema';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { PasswordSettings } from '../../config/sections/passwords.js';
import { PasswordRejectedError } from '../../http/errors.js';
import type { Attempt } from '../../throttles/limited.js';
import { isBreached } from './breach-list.js';

/** Why a new password is refused. */
type Rejection = { reason: ProblemReason; detail: string };

let common: Promise<Set<string>> | undefined;

/** The list takes 12 MB; a replica that only checks tokens never needs it. */
function commonPasswords(): Promise<Set<string>> {
  common ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set(dictionary['passwords-common']));
  return common;
}

/** A new password: whose it is to be, and where it stands in the body. */
type NewPassword = { password: string; of: { username: string }; pointer: string };

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Judges the new password of a request. The attempt fails when the list of breached passwords rejects the password: that
     * costs a request to another service.
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
        // A sign-up must not depend on the service of a third party.
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

/**
 * Judges a new password by NIST SP 800-63B-4 §3.1.1.2: length and common passwords, no composition rules.
 *
 * @param minLength in Unicode code points
 */
async function judgePassword(password: string, username: string, minLength: number): Promise<Rejection | undefined> {
  const length = [...password].length;
  const folded = password.toLowerCase();
  if (length < minLength) {
    return { reason: 'too_short', detail: `The password needs at least ${minLength} characters.` };
  }
  if (length > MAX_PASSWORD_LENGTH) {
    return { reason: 'too_long', detail: `The password has more than ${MAX_PASSWORD_LENGTH} characters.` };
  }
  if ((await commonPasswords()).has(folded))
    return { reason: 'common', detail: 'The password is one of the most common ones.' };
  if (folded.includes(username.toLowerCase())) {
    return { reason: 'contains_username', detail: 'The password contains the username.' };
  }
  return undefined;
}

function rejected({ reason, detail }: Rejection, pointer: string): Error {
  return Object.assign(new PasswordRejectedError(detail), { errors: [{ pointer, reason, detail }] });
}
