import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import {
  AddedPasskey,
  AddPasskeyRequest,
  IdParams,
  Passkey,
  PasskeyCreationOptions,
  RenamePasskeyRequest,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { logEvents, originOf } from '../../events/recorder.js';
import {
  InsufficientAuthenticationError,
  LastCredentialError,
  NotFoundError,
  PasskeyRejectedError,
  TooManyPasskeysError,
} from '../../http/errors.js';
import { combineAmr, passkeyAmr } from '../../sessions/factors.js';
import { strengthenSession, weakenSessions } from '../../sessions/renew.js';
import { beginFactors } from '../first-factor.js';
import { lockFreshSession } from '../lock-session.js';
import { replaceCodes } from '../recovery-codes/stored-codes.js';
import { addPasskey, MAX_PASSKEYS } from './add.js';
import { removePasskey, renamePasskey } from './edit.js';
import { creationOptions } from './options.js';
import { checkRegistration } from './registration.js';
import type { RelyingParty } from './relying-party.js';
import { findPasskeys } from './stored-passkeys.js';
import { newHandle } from './user-handle.js';

/** How owners add, rename and remove passkeys. */
export const passkeysRoutes: FastifyPluginAsyncTypebox<{ relyingParty: RelyingParty }> = async (
  app,
  { relyingParty },
) => {
  const { rpId } = relyingParty;
  const common = { tags: ['auth'], security: [{ bearer: [] }] };
  const config = { audience: 'browsers' as const };
  const fresh = [app.requireSession, app.requireFresh];
  // Who has no second factor must be able to add one.
  const enrolling = { config, onRequest: app.authenticateAny, preHandler: fresh };
  const actorOf = (request: FastifyRequest) => originOf(request, `account:${request.account.id}`);

  const options = {
    ...common,
    operationId: 'createPasskeyOptions',
    summary: 'Options for a new passkey, for `navigator.credentials.create()`; good for 5 minutes',
    response: {
      200: PasskeyCreationOptions,
      ...problemResponses(InsufficientAuthenticationError, TooManyPasskeysError),
    },
  };
  app.post('/auth/passkeys/options', { ...enrolling, schema: options }, async ({ account, claims }) => {
    const { handle = newHandle(), usable, count } = await findPasskeys(app.pg, { accountId: account.id, rpId });
    if (count >= MAX_PASSKEYS) throw new TooManyPasskeysError(MAX_PASSKEYS);
    const about = { accountId: account.id, sessionId: claims.sid, handle };
    const challenge = app.challenges.make('passkey-registration', about);
    return creationOptions(relyingParty, { challenge, handle, username: account.username }, usable);
  });

  const add = {
    ...common,
    operationId: 'addPasskey',
    summary: 'Add a passkey: from now on, a password alone does not sign in',
    description:
      'An account without a second factor gets recovery codes, which are shown once. The next refresh of the session has `acr` `aal2`.',
    body: AddPasskeyRequest,
    response: {
      201: AddedPasskey,
      ...problemResponses(InsufficientAuthenticationError, PasskeyRejectedError, TooManyPasskeysError),
    },
  };
  app.post('/auth/passkeys', { ...enrolling, schema: add }, async (request, reply) => {
    const { account, body, claims } = request;
    const about = { accountId: account.id, sessionId: claims.sid };
    const registration = await checkRegistration(app, relyingParty, body.response, {
      kind: 'passkey-registration',
      ...about,
    });
    const { added, events } = await transact(app.pg, async client => {
      const before = await lockFreshSession(client, request);
      const named = { accountId: account.id, registration, name: body.name };
      const { passkey, events } = await addPasskey(client, named, actorOf(request));
      const proved = passkeyAmr(registration.passkey.backupEligible);
      await strengthenSession(client, { ...about, amr: combineAmr(before.amr, proved) });
      const isFirst = await beginFactors(client, before);
      return {
        added: { ...passkey, ...(isFirst && { recoveryCodes: await replaceCodes(client, account.id) }) },
        events,
      };
    });
    logEvents(request, events);
    return reply.status(201).send(added);
  });

  const rename = {
    ...common,
    operationId: 'renamePasskey',
    summary: 'Rename a passkey',
    params: IdParams,
    body: RenamePasskeyRequest,
    response: { 200: Passkey, ...problemResponses(InsufficientAuthenticationError, NotFoundError) },
  };
  const signedIn = { config, onRequest: app.authenticate };
  app.patch('/auth/passkeys/:id', { ...signedIn, schema: rename, preHandler: app.requireSession }, async request => {
    const which = { accountId: request.account.id, passkeyId: request.params.id, name: request.body.name };
    const renamed = await renamePasskey(app.pg, which, actorOf(request));
    if (!renamed) throw new NotFoundError('such passkey');
    logEvents(request, renamed.events);
    return renamed.passkey;
  });

  const remove = {
    ...common,
    operationId: 'removePasskey',
    summary: 'Remove a passkey',
    description:
      'Without another second factor, the recovery codes are void too. The last way to sign in cannot be removed.',
    params: IdParams,
    response: {
      204: Type.Null({ description: 'The account has that passkey no more' }),
      ...problemResponses(InsufficientAuthenticationError, LastCredentialError, NotFoundError),
    },
  };
  app.delete('/auth/passkeys/:id', { ...signedIn, schema: remove, preHandler: fresh }, async (request, reply) => {
    const { account, params } = request;
    const events = await transact(app.pg, async client => {
      await lockFreshSession(client, request);
      const which = { accountId: account.id, passkeyId: params.id, rpId };
      const removed = await removePasskey(client, which, actorOf(request));
      await weakenSessions(client, account.id);
      return removed;
    });
    if (!events) throw new NotFoundError('such passkey');
    if (events === 'last') throw new LastCredentialError();
    logEvents(request, events);
    return reply.status(204).send(null);
  });
};
