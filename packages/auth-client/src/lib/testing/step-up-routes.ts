import { PasskeyAssertion, RecoveryCode, type SecondFactorProof, TotpCode } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { nowS } from './accounts.js';
import { anySession, type Current } from './current-session.js';
import { acrOf, combineAmr, highestAcr } from './factors.js';
import { insufficientAuthentication, invalidCredentials, invalidSecondFactor } from './problems.js';
import { checkFactor } from './proofs.js';
import { type Handler, type IssuerState, json, Password, readBody } from './requests.js';
import { requestOptions } from './sign-in-routes.js';

const StepUpRequest = Type.Object(
  {
    password: Type.Optional(Password),
    totp: Type.Optional(TotpCode),
    recoveryCode: Type.Optional(RecoveryCode),
    passkey: Type.Optional(PasskeyAssertion),
  },
  { additionalProperties: false, minProperties: 1, maxProperties: 1 },
);

/** The routes of step-ups. */
export const stepUpRoutes: Record<string, Handler> = {
  'POST /auth/step-up': async (state, request) => {
    const current = anySession(state, request);
    const { password, ...factor } = await readBody(request, StepUpRequest);
    const { session } = current;
    const proved =
      password === undefined
        ? proveFactor(state, current, factor as SecondFactorProof)
        : provePassword(current, password);
    // Without a factor any more, the session is from now on one of the password.
    const isPasswordOnly = password !== undefined && highestAcr(current.account.factors) === 'aal1';
    session.amr = isPasswordOnly ? proved : combineAmr(session.amr, proved);
    session.authTime = nowS();
    return json(state.tokens.signedIn(state.accounts.rotate(session)));
  },
  'POST /auth/step-up/passkey/options': async (state, request) => {
    const { account, session } = anySession(state, request);
    const about = { accountId: account.user.id, sessionId: session.id };
    return json(requestOptions(state, state.challenges.make('passkey-step-up', about), account));
  },
};

function proveFactor(state: IssuerState, { account, session }: Current, proof: SecondFactorProof): readonly string[] {
  const checked = checkFactor(state, account, proof, challenge => {
    const opened = state.challenges.open('passkey-step-up', challenge);
    return opened?.sessionId === session.id ? opened : undefined;
  });
  if (!checked?.use(state, account)) throw invalidSecondFactor();
  return checked.amr;
}

function provePassword({ account, session }: Current, password: string): readonly string[] {
  // It would make the proof of the second factor look younger than it is.
  const acr = highestAcr(account.factors);
  if (acr === 'aal2' && acrOf(session.amr) === acr) throw insufficientAuthentication({ acr });
  if (account.password !== password) throw invalidCredentials();
  return ['pwd'];
}
