import type { AddedPasskey, Passkey } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { Account } from './accounts.js';
import { anySession, beginFactors, currentSession, requireFresh } from './current-session.js';
import { combineAmr, dropUselessCodes, type TestPasskey } from './factors.js';
import { notFound, ProblemError } from './problems.js';
import { passkeyAmr } from './proofs.js';
import { replaceCodes } from './recovery-codes.js';
import { creationOptions, NewPasskey, newHandle, passkeyRejected, register } from './registration.js';
import { empty, type Handler, json, Name, readBody } from './requests.js';
import { challengeOf } from './webauthn.js';

const RenamePasskeyRequest = Type.Object({ name: Name }, { additionalProperties: false });
const MAX_PASSKEYS = 20;

/** The routes of passkeys. */
export const passkeyRoutes: Record<string, Handler> = {
  'POST /auth/passkeys/options': async (state, request) => {
    const { account, session } = requireFresh(state, anySession(state, request));
    const { factors, user } = account;
    checkRoom(factors.passkeys);
    const handle = factors.passkeyHandle ?? newHandle();
    const challenge = state.challenges.make('passkey-registration', {
      accountId: user.id,
      sessionId: session.id,
      handle,
    });
    return json(creationOptions(state, challenge, { handle, username: user.username, passkeys: factors.passkeys }));
  },
  'POST /auth/passkeys': async (state, request) => {
    const { account, session } = requireFresh(state, anySession(state, request));
    const { response, name } = await readBody(request, NewPasskey);
    const { factors, user } = account;
    const challenge = state.challenges.open('passkey-registration', challengeOf(response));
    if (challenge?.sessionId !== session.id || state.challenges.isUsed(challenge)) throw passkeyRejected();
    const passkey = register(state, response, name);
    const isKnown = factors.passkeys.some(({ credentialId }) => credentialId === passkey.credentialId);
    if (isKnown || (factors.passkeyHandle ?? challenge.handle) !== challenge.handle) throw passkeyRejected();
    checkRoom(factors.passkeys);
    state.challenges.use(challenge);
    const recoveryCodes = beginFactors(state, account) ? replaceCodes(factors) : undefined;
    factors.passkeyHandle ??= challenge.handle;
    factors.passkeys.push(passkey);
    account.credentialVersion++;
    session.amr = combineAmr(session.amr, passkeyAmr(passkey));
    state.mailbox.sendNotice('passkey-added', user.email);
    return json({ ...toPasskey(passkey), ...(recoveryCodes && { recoveryCodes }) } satisfies AddedPasskey, 201);
  },
  'PATCH /auth/passkeys/:id': async (state, request, { id }) => {
    const passkey = findPasskey(currentSession(state, request).account, id);
    passkey.name = (await readBody(request, RenamePasskeyRequest)).name;
    return json(toPasskey(passkey));
  },
  'DELETE /auth/passkeys/:id': async (state, request, { id }) => {
    const { account } = requireFresh(state, currentSession(state, request));
    const { factors, user } = account;
    const passkey = findPasskey(account, id);
    if (account.password === undefined && factors.passkeys.length === 1) {
      const detail = 'Without this passkey nobody could sign in: set a password or add another passkey first.';
      throw new ProblemError(409, 'last_credential', detail);
    }
    factors.passkeys.splice(factors.passkeys.indexOf(passkey), 1);
    dropUselessCodes(factors);
    state.accounts.weakenSessions(account);
    account.credentialVersion++;
    state.mailbox.sendNotice('passkey-removed', user.email);
    return empty(204);
  },
};

/** A passkey as its owner sees it. */
export function toPasskey({ id, name, createdAt, lastUsedAt, backedUp }: TestPasskey): Passkey {
  return { id, name, createdAt, lastUsedAt, backedUp };
}

function findPasskey({ factors }: Account, id: string): TestPasskey {
  const passkey = factors.passkeys.find(one => one.id === id);
  if (!passkey) throw notFound('such passkey');
  return passkey;
}

function checkRoom(passkeys: TestPasskey[]): void {
  if (passkeys.length < MAX_PASSKEYS) return;
  throw new ProblemError(409, 'too_many_passkeys', `An account has at most ${MAX_PASSKEYS} passkeys.`);
}
