import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { SecondFactorRequest, SignedIn } from '@latchkey/user-schema';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { findPasswordOf } from '../credentials/password/stored-passwords.js';
import { InvalidChallengeError, InvalidSecondFactorError, TooManyRequestsError } from '../http/errors.js';
import { useChallenge } from '../sessions/challenges.js';
import { combineAmr } from '../sessions/factors.js';
import { createProveFactor } from './second-factor.js';

export const secondFactorRoute: FastifyPluginAsyncTypebox<{ config: SecretsSettings }> = async (app, { config }) => {
  const proveFactor = createProveFactor(app, config);
  const schema = {
    tags: ['auth'],
    operationId: 'completeSignIn',
    summary: 'Complete a sign-in by a second factor',
    description: 'The challenge is good for one sign-in, and for five tries.',
    body: SecondFactorRequest,
    response: {
      200: SignedIn,
      ...problemResponses(InvalidChallengeError, InvalidSecondFactorError, TooManyRequestsError),
    },
  };
  const options = { config: { audience: 'browsers' as const }, schema };
  app.post('/auth/sign-in/second-factor', options, async (request, reply) => {
    const { challenge: text, ...proof } = request.body;
    const challenge = app.challenges.open('second-factor', text);
    if (!challenge) throw new InvalidChallengeError();
    const { accountId, credentialVersion, username, id } = challenge;
    const about = {
      ...{ accountId, username, challengeId: id, failure: 'sign_in_failed' as const },
      passkeyPurpose: { kind: 'passkey-second-factor' as const, accountId, of: id },
    };
    const { account, started } = await proveFactor(request, reply, about, proof, async (client, proved) => {
      if (!(await useChallenge(client, accountId, challenge))) throw new InvalidChallengeError();
      const account = await findPasswordOf(client, accountId);
      const amr = combineAmr(challenge.amr, proved);
      const started = await app.signIn(client, request, { accountId, credentialVersion, amr, username });
      if (!account || !started) throw new InvalidChallengeError();
      return { account, started };
    });
    app.announce(request, started);
    const { id: userId, username: name, email, createdAt } = account;
    return reply.send(app.issueTokens({ id: userId, username: name, email, createdAt }, started.session));
  });
};
