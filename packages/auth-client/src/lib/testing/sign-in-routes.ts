import {
  PasskeyOptionsRequest,
  type PasskeyRequestOptions,
  PasskeySignInRequest,
  type SecondFactorProof,
  SecondFactorRequest,
  SignInName,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { Account } from './accounts.js';
import { combineAmr, methodsOf } from './factors.js';
import {
  invalidChallenge,
  invalidCredentials,
  invalidSecondFactor,
  notFound,
  ProblemError,
  secondFactorRequired,
} from './problems.js';
import { checkFactor, checkPasskey } from './proofs.js';
import { type Handler, type IssuerState, json, Password, readBody } from './requests.js';

const SignInRequest = Type.Object({ username: SignInName, password: Password }, { additionalProperties: false });
const TIMEOUT_MS = 300_000;

/**
 * Starts a session of an account that has proved `amr`, and responds with its tokens.
 *
 * @throws ProblemError when the account has second factors and none was proved
 */
export function startSignIn(
  { accounts, challenges, tokens }: IssuerState,
  request: Request,
  account: Account,
  amr: readonly string[],
  status = 200,
): Response {
  const methods = methodsOf(account.factors);
  if (methods.length > 0 && !amr.includes('mfa')) {
    const { user, credentialVersion } = account;
    const about = { accountId: user.id, credentialVersion, amr: [...amr] };
    throw secondFactorRequired(challenges.make('second-factor', about), methods);
  }
  const session = accounts.startSession(account.user, { amr, userAgent: request.headers.get('user-agent') });
  return json(tokens.signedIn(session), status);
}

/**
 * The options of an assertion: by a passkey of the account, or by any.
 *
 * @throws ProblemError when the account has none
 */
export function requestOptions({ rpId }: IssuerState, challenge: string, account?: Account): PasskeyRequestOptions {
  if (account?.factors.passkeys.length === 0) throw notFound('passkey of this domain');
  const allowCredentials = account?.factors.passkeys.map(({ credentialId: id }) => ({
    id,
    type: 'public-key' as const,
  }));
  const options = { challenge, timeout: TIMEOUT_MS, rpId, userVerification: 'required' as const };
  return { ...options, ...(allowCredentials && { allowCredentials }) };
}

/** The routes of sign-ins. */
export const signInRoutes: Record<string, Handler> = {
  'POST /auth/sign-in': async (state, request) => {
    const { username, password } = await readBody(request, SignInRequest);
    const account = state.accounts.find(username) ?? state.accounts.findByEmail(username);
    if (account?.password !== password || account === undefined) throw invalidCredentials();
    return startSignIn(state, request, account, ['pwd']);
  },
  'POST /auth/sign-in/second-factor': async (state, request) => {
    const { challenge: text, ...proof } = await readBody(request, SecondFactorRequest);
    const challenge = state.challenges.open('second-factor', text);
    const account = challenge && state.accounts.findById(challenge.accountId);
    if (!account) throw invalidChallenge();
    const checked = checkFactor(state, account, proof as SecondFactorProof, passkeyChallenge => {
      const opened = state.challenges.open('passkey-second-factor', passkeyChallenge);
      return opened?.of === challenge.id ? opened : undefined;
    });
    if (!checked) throw invalidSecondFactor();
    const isVoid = challenge.credentialVersion !== account.credentialVersion || state.challenges.isUsed(challenge);
    if (isVoid) throw invalidChallenge();
    if (!checked.use(state, account)) throw invalidSecondFactor();
    state.challenges.use(challenge);
    return startSignIn(state, request, account, combineAmr(challenge.amr, checked.amr));
  },
  'POST /auth/sign-in/passkey/options': async (state, request) => {
    const { challenges, accounts } = state;
    const { challenge: text } = await readBody(request, PasskeyOptionsRequest);
    if (text === undefined) return json(requestOptions(state, challenges.make('passkey-sign-in', {})));
    const challenge = challenges.open('second-factor', text);
    const account = challenge && accounts.findById(challenge.accountId);
    if (!account) throw invalidChallenge();
    const about = { accountId: account.user.id, of: challenge.id };
    return json(requestOptions(state, challenges.make('passkey-second-factor', about), account));
  },
  'POST /auth/sign-in/passkey': async (state, request) => {
    const { response } = await readBody(request, PasskeySignInRequest);
    const { challenges, accounts } = state;
    const account = accounts.findByHandle(response.response.userHandle ?? '');
    const checked =
      account && checkPasskey(state, account, response, challenge => challenges.open('passkey-sign-in', challenge));
    if (!checked?.use(state, account as Account)) {
      throw new ProblemError(401, 'invalid_passkey', 'The passkey is not accepted.');
    }
    return startSignIn(state, request, account as Account, checked.amr);
  },
};
