import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { SignedIn, SignInRequest } from '@latchkey/user-schema';
import type { FastifyRequest } from 'fastify';
import type { HashCaller } from '../credentials/password/hash-lane.js';
import { hashCaller } from '../credentials/password/hashing-plugin.js';
import {
  findPassword,
  reasonOf,
  replacePasswordHash,
  type StoredPassword,
} from '../credentials/password/stored-passwords.js';
import { logEvents, originOf, recordEvent } from '../events/recorder.js';
import {
  InvalidCredentialsError,
  OverloadedError,
  SecondFactorRequiredError,
  TooManyRequestsError,
} from '../http/errors.js';
import { AMR } from '../sessions/factors.js';

export const passwordRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    operationId: 'signIn',
    summary: 'Sign in',
    body: SignInRequest,
    response: {
      200: SignedIn,
      ...problemResponses(InvalidCredentialsError, SecondFactorRequiredError, TooManyRequestsError),
    },
  };
  const preHandler = app.admitHash(({ body }) => (body as SignInRequest).username);
  const options = { config: { audience: 'browsers' as const }, schema, onRequest: app.admitHash(), preHandler };
  app.post('/auth/sign-in', options, async (request, reply) => {
    const { username, password } = request.body;
    const caller = hashCaller(request, reply, username);

    const signedIn = await app.throttles.guess(request, reply, { username }, async attempt => {
      const refuse = async (reason: string, userId: string | undefined): Promise<never> => {
        const event = await recordEvent(app.pg, originOf(request), 'sign_in_failed', { userId, details: { reason } });
        logEvents(request, event);
        await attempt.failed();
        throw new InvalidCredentialsError();
      };

      const found = await findPassword(app.pg, username);
      // A caller who may not sign in costs the same hash as one who may, so that time does not tell them apart.
      const { matches, outdated, unknownPepper } = await app.passwords.verify(password, found?.passwordHash, caller);
      if (unknownPepper)
        request.log.error({ secretId: unknownPepper }, 'a password hash needs a secret not in AUTH_SECRETS');
      if (!found?.passwordHash || found.disabled || !matches) return refuse(reasonOf(found), found?.id);
      if (outdated) await renewHash(request, { ...found, passwordHash: found.passwordHash }, password, caller);

      const { id, email, createdAt, credentialVersion } = found;
      const proof = { accountId: id, credentialVersion, amr: AMR.password, username };
      const started = await app.signIn(app.pg, request, proof);
      if (!started) return refuse('changed_meanwhile', id);
      app.announce(request, started);
      await attempt.succeeded();
      return app.issueTokens({ id, username: found.username, email, createdAt }, started.session);
    });
    return reply.send(signedIn);
  });
};

/** Brings a hash up to date. Where there is no room for another hash, the next sign-in does it. */
async function renewHash(
  { server }: FastifyRequest,
  { id, passwordHash }: StoredPassword & { passwordHash: string },
  password: string,
  caller: HashCaller,
): Promise<void> {
  const { passwords, pg } = server;
  const renewed = await passwords.hash(password, caller).catch(ignoreOverload);
  if (renewed) await replacePasswordHash(pg, id, passwordHash, renewed);
}

function ignoreOverload(error: unknown): undefined {
  if (!(error instanceof OverloadedError)) throw error;
}
