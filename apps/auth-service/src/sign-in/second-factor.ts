import { type Queryable, transact } from '@latchkey/service-kit/database';
import type { SecondFactorProof } from '@latchkey/user-schema';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { lockAccount } from '../credentials/addresses.js';
import type { PasskeyPurpose } from '../credentials/passkeys/check.js';
import type { CheckedProof } from '../credentials/proof.js';
import { checkRecoveryCode } from '../credentials/recovery-codes/stored-codes.js';
import { checkTotp } from '../credentials/totp/stored-totp.js';
import { logEvents, originOf, recordEvent } from '../events/recorder.js';
import { InvalidSecondFactorError } from '../http/errors.js';
import type { Attempt } from '../throttles/limited.js';

/** What a factor is to be proved for. */
type About = {
  accountId: string;
  /** As typed, or the account's. */
  username: string;
  /** What the tries are counted for: a sign-in, or a session that steps up. */
  challengeId: string;
  /** The session that steps up. */
  sessionId?: string;
  /** What the challenge of a passkey must have been made for. */
  passkeyPurpose: PasskeyPurpose;
  /** The event of a wrong proof. */
  failure: 'sign_in_failed' | 'step_up_failed';
};

/** Uses a proof of a second factor up and does what it is for, in one transaction. */
export type ProveFactor = <T>(
  request: FastifyRequest,
  reply: FastifyReply,
  about: About,
  proof: SecondFactorProof,
  work: (client: Queryable, amr: readonly string[]) => Promise<T>,
) => Promise<T>;

/**
 * Makes the function that proves second factors, within their limits.
 *
 * @throws InvalidSecondFactorError, TooManyRequestsError
 */
export function createProveFactor(app: FastifyInstance, config: SecretsSettings): ProveFactor {
  const check = async ({ accountId, passkeyPurpose }: About, proof: SecondFactorProof) => {
    if ('totp' in proof) return checkTotp(app.pg, config.authSecrets, accountId, proof.totp);
    if ('recoveryCode' in proof) return checkRecoveryCode(accountId, proof.recoveryCode);
    return app.passkeys.check(proof.passkey, passkeyPurpose);
  };

  return (request, reply, about, proof, work) => {
    const { accountId, username, challengeId, sessionId, failure } = about;
    const prove = async (attempts: Attempt[]) => {
      const origin = originOf(request, `account:${accountId}`);
      const refuse = async (reason: string): Promise<never> => {
        logEvents(
          request,
          await recordEvent(app.pg, origin, failure, {
            userId: accountId,
            ...(sessionId && { sessionId }),
            details: { reason },
          }),
        );
        for (const attempt of attempts) await attempt.failed();
        throw new InvalidSecondFactorError();
      };
      const method = reasonOf(proof);
      const checked = (await check(about, proof)) ?? (await refuse(`wrong_${method}`));
      const useAndWork = () =>
        transact(app.pg, async client => {
          await lockAccount(client, accountId);
          const events = await use(client, checked);
          return { result: await work(client, checked.amr), events };
        });
      const { result, events } = await (method === 'passkey' ? countUse(useAndWork) : useAndWork()).catch(error =>
        error instanceof InvalidSecondFactorError ? refuse(`used_${method}`) : Promise.reject(error),
      );
      logEvents(request, events);
      for (const attempt of attempts) await attempt.succeeded();
      return result;
    };
    const countUse = <T>(work: () => Promise<T>): Promise<T> =>
      app.throttles.passkeyUse(request, reply, { username: accountId }, async passkeyUse => {
        const result = await work();
        await passkeyUse.failed();
        return result;
      });
    const use = async (client: Queryable, checked: CheckedProof) => {
      const events = await checked.use(client, originOf(request, `account:${accountId}`));
      if (!events) throw new InvalidSecondFactorError();
      return events;
    };
    return app.throttles.challenge(
      request,
      reply,
      { username, challengeId, ...(sessionId && { sessionId }) },
      attempt =>
        // Only codes of six digits can be guessed.
        'totp' in proof
          ? app.throttles.totp(request, reply, { username: accountId }, guess => prove([guess, attempt]))
          : prove([attempt]),
    );
  };
}

function reasonOf(proof: SecondFactorProof): string {
  if ('totp' in proof) return 'totp';
  return 'recoveryCode' in proof ? 'recovery_code' : 'passkey';
}
