import { randomBytes, randomUUID } from 'node:crypto';
import {
  type AddedPasskey,
  type Passkey,
  type PasskeyCreationOptions,
  PasskeyRegistration,
  PasskeySignUpOptionsRequest,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { Account } from './accounts.js';
import { combineAmr, dropUselessCodes, methodsOf, type TestPasskey } from './factors.js';
import { notFound, ProblemError, signUpClosed, usernameTaken } from './problems.js';
import { passkeyAmr } from './proofs.js';
import { replaceCodes } from './recovery-codes.js';
import {
  anySession,
  currentSession,
  empty,
  type Handler,
  type IssuerState,
  json,
  Name,
  readBody,
  requireFresh,
} from './requests.js';
import { startSignIn } from './sign-in-routes.js';
import { challengeOf, readRegistration } from './webauthn.js';

const AddPasskeyRequest = Type.Object(
  { response: PasskeyRegistration, name: Type.Optional(Name) },
  { additionalProperties: false },
);
const RenamePasskeyRequest = Type.Object({ name: Name }, { additionalProperties: false });
const ALGORITHMS = [-7, -8, -257];
const TIMEOUT_MS = 300_000;
const HANDLE_BYTES = 32;
const MAX_PASSKEYS = 20;

/** The routes of passkeys, and of sign-ups with one. */
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
    const { response, name } = await readBody(request, AddPasskeyRequest);
    const { factors, user } = account;
    const challenge = state.challenges.open('passkey-registration', challengeOf(response));
    if (challenge?.sessionId !== session.id || state.challenges.isUsed(challenge)) throw passkeyRejected();
    const passkey = register(state, response, name);
    const isKnown = factors.passkeys.some(({ credentialId }) => credentialId === passkey.credentialId);
    if (isKnown || (factors.passkeyHandle ?? challenge.handle) !== challenge.handle) throw passkeyRejected();
    checkRoom(factors.passkeys);
    state.challenges.use(challenge);
    const recoveryCodes = methodsOf(factors).length === 0 ? replaceCodes(factors) : undefined;
    factors.passkeyHandle ??= challenge.handle;
    factors.passkeys.push(passkey);
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
    account.credentialVersion++;
    state.mailbox.sendNotice('passkey-removed', user.email);
    return empty(204);
  },
  'POST /auth/sign-up/passkey/options': async (state, request) => {
    if (state.signUp !== 'open') throw signUpClosed();
    const { username, email } = await readBody(request, PasskeySignUpOptionsRequest);
    const handle = newHandle();
    const challenge = state.challenges.make('passkey-sign-up', { username, email, handle });
    return json(creationOptions(state, challenge, { handle, username, passkeys: [] }));
  },
  'POST /auth/sign-up/passkey': async (state, request) => {
    if (state.signUp !== 'open') throw signUpClosed();
    const { response, name } = await readBody(request, AddPasskeyRequest);
    const { accounts, challenges, links, mailbox } = state;
    const challenge = challenges.open('passkey-sign-up', challengeOf(response));
    if (!challenge || challenges.isUsed(challenge)) throw passkeyRejected();
    const passkey = register(state, response, name);
    const { username, email, handle } = challenge;
    const account = accounts.add({ username });
    if (!account) throw usernameTaken();
    challenges.use(challenge);
    account.factors.passkeyHandle = handle;
    account.factors.passkeys.push(passkey);
    if (email !== undefined) mailbox.sendLink('verify-email', email, links.add('verify-email', account, email).token);
    return startSignIn(state, request, account, passkeyAmr(passkey), 201);
  },
};

/** A passkey as its owner sees it. */
export function toPasskey({ id, name, createdAt, lastUsedAt, backedUp }: TestPasskey): Passkey {
  return { id, name, createdAt, lastUsedAt, backedUp };
}

function creationOptions(
  { rpId }: IssuerState,
  challenge: string,
  { handle, username, passkeys }: { handle: string; username: string; passkeys: TestPasskey[] },
): PasskeyCreationOptions {
  return {
    rp: { id: rpId, name: 'Latchkey' },
    user: { id: handle, name: username, displayName: username },
    challenge,
    pubKeyCredParams: ALGORITHMS.map(alg => ({ type: 'public-key', alg })),
    timeout: TIMEOUT_MS,
    excludeCredentials: passkeys.map(({ credentialId: id }) => ({ id, type: 'public-key' })),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    attestation: 'none',
  };
}

function register({ rpId }: IssuerState, response: PasskeyRegistration, name = 'Passkey'): TestPasskey {
  try {
    const registration = readRegistration(response, rpId);
    return { ...registration, id: randomUUID(), name, createdAt: new Date().toISOString(), lastUsedAt: null };
  } catch {
    // Whatever the caller has sent, it is no passkey.
    throw passkeyRejected();
  }
}

function findPasskey({ factors }: Account, id: string): TestPasskey {
  const passkey = factors.passkeys.find(one => one.id === id);
  if (!passkey) throw notFound('passkey');
  return passkey;
}

function checkRoom(passkeys: TestPasskey[]): void {
  if (passkeys.length < MAX_PASSKEYS) return;
  throw new ProblemError(409, 'too_many_passkeys', `An account has at most ${MAX_PASSKEYS} passkeys.`);
}

function newHandle(): string {
  return randomBytes(HANDLE_BYTES).toString('base64url');
}

function passkeyRejected(): ProblemError {
  return new ProblemError(400, 'invalid_passkey', 'The passkey is not accepted.');
}
