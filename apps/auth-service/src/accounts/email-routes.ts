import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { EmailState, SetEmailRequest, VerifyEmailRequest } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { MailSettings } from '../config/sections/mail.js';
import { lockAccount, removeAddress, setAddress } from '../credentials/addresses.js';
import { foldName } from '../credentials/identifiers.js';
import { lockFreshSession } from '../credentials/lock-session.js';
import { findPendingEmail, useToken, type ValidToken } from '../credentials/one-time-tokens/stored-tokens.js';
import { parseToken } from '../credentials/one-time-tokens/token.js';
import { logEvents, type Origin, originOf, recordEvent } from '../events/recorder.js';
import { empty } from '../http/empty.js';
import {
  EmailTakenError,
  InsufficientAuthenticationError,
  InvalidOneTimeTokenError,
  TooManyRequestsError,
  UsernameTakenError,
} from '../http/errors.js';
import { tooManyMails } from '../throttles/index.js';
import { confirmSignUp } from './sign-up-by-email.js';
import { mailVerification } from './verification.js';

export const emailRoutes: FastifyPluginAsyncTypebox<{ config: MailSettings }> = async (app, { config }) => {
  const common = { tags: ['auth'], security: [{ bearer: [] }] };
  const audience = 'browsers' as const;
  const signedIn = { config: { audience }, onRequest: app.authenticate, preHandler: app.requireSession };
  const fresh = { ...signedIn, preHandler: [app.requireSession, app.requireFresh] };

  const read = {
    ...common,
    operationId: 'getEmail',
    summary: 'The e-mail address, and the one that is not verified yet',
    response: { 200: EmailState, ...problemResponses(InsufficientAuthenticationError) },
  };
  app.get('/auth/email', { ...signedIn, schema: read }, async ({ account }) => {
    return { email: account.email, pending: (await findPendingEmail(app.pg, account.id)) ?? null };
  });

  const set = {
    ...common,
    operationId: 'setEmail',
    summary: 'Set another e-mail address: it counts once its link has been used',
    body: SetEmailRequest,
    response: {
      202: empty('A link is mailed to the address'),
      ...problemResponses(InsufficientAuthenticationError, TooManyRequestsError),
    },
  };
  if (app.mail.isAvailable) {
    app.put('/auth/email', { ...fresh, schema: set }, async (request, reply) => {
      const { account, body } = request;
      // Of the account too: otherwise one caller could mail to any number of addresses.
      const isAllowed =
        (await app.throttles.takeMail('change', account.id)) && (await app.throttles.takeMail('verify', body.email));
      if (!isAllowed) throw tooManyMails();
      const about = { accountId: account.id, username: account.username };
      const origin = originOf(request, `account:${account.id}`);
      const events = await transact(app.pg, async client => {
        await lockFreshSession(client, request);
        await mailVerification(app, client, config.appUrl, { ...about, email: body.email });
        const values = noticeOf(account.username, origin);
        const { email } = account;
        if (email !== null) await app.mail.queue(client, { template: 'email-change-requested', to: email, values });
        return recordEvent(client, origin, 'email_change_requested', { userId: account.id, details: null });
      });
      logEvents(request, events);
      return reply.status(202).send(undefined);
    });
  }

  const remove = {
    ...common,
    operationId: 'removeEmail',
    summary: 'Remove the e-mail address',
    response: {
      204: Type.Null({ description: 'The account has no address' }),
      ...problemResponses(InsufficientAuthenticationError),
    },
  };
  app.delete('/auth/email', { ...fresh, schema: remove }, async (request, reply) => {
    const { account } = request;
    const origin = originOf(request, `account:${account.id}`);
    const removed = await transact(app.pg, async client => {
      await lockFreshSession(client, request);
      const change = await removeAddress(client, account.id, origin);
      if (!change) return undefined;
      const { username, email } = change.account;
      const values = noticeOf(username, origin);
      if (email !== null) await app.mail.queue(client, { template: 'email-removed', to: email, values });
      return change;
    });
    if (removed) logEvents(request, removed.events);
    return reply.status(204).send(null);
  });

  const verify = {
    tags: ['auth'],
    operationId: 'verifyEmail',
    summary: 'Verify an e-mail address by the token of a link',
    description: 'The link of a sign-up by mail is used here too: then the account exists, and its owner may sign in.',
    body: VerifyEmailRequest,
    response: {
      204: Type.Null({ description: 'The address is verified' }),
      ...problemResponses(EmailTakenError, InvalidOneTimeTokenError, TooManyRequestsError, UsernameTakenError),
    },
  };
  app.post('/auth/email/verify', { config: { audience }, schema: verify }, async (request, reply) => {
    const { token } = request.body;
    await app.throttles.link(request, reply, { username: '' }, async attempt => {
      try {
        logEvents(
          request,
          await transact(app.pg, async client => {
            const parsed = parseToken(token);
            if (parsed) await lockAccount(client, parsed.accountId);
            const used = await useToken(client, token, 'verify-email', 'sign-up');
            if (!used) throw new InvalidOneTimeTokenError();
            return used.purpose === 'sign-up'
              ? confirmSignUp(client, used, originOf(request))
              : verifyAddress(request, client, used);
          }),
        );
      } catch (error) {
        if (error instanceof InvalidOneTimeTokenError) await attempt.failed();
        throw error;
      }
    });
    return reply.status(204).send(null);
  });

  async function verifyAddress(request: FastifyRequest, client: Parameters<typeof setAddress>[0], used: ValidToken) {
    const { accountId, email } = used;
    const origin = originOf(request, `account:${accountId}`);
    const change = email === null ? undefined : await setAddress(client, accountId, email, origin);
    if (!change) throw new InvalidOneTimeTokenError();
    if (change === 'taken') throw new EmailTakenError();
    const { username, email: before } = change.account;
    if (before !== null && foldName(before) !== foldName(email as string)) {
      const values = noticeOf(username, origin);
      await app.mail.queue(client, { template: 'email-changed', to: before, values, accountId });
    }
    return change.events;
  }
};

function noticeOf(username: string, { address, userAgent }: Origin) {
  const at = new Date().toISOString();
  return { username, at, address: address ?? undefined, userAgent: userAgent ?? undefined };
}
