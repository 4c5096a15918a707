import { type Factors, type RecoveryCodes, TotpConfirmation, type TotpEnrolment } from '@latchkey/user-schema';
import { anySession, beginFactors, currentSession, requireFresh } from './current-session.js';
import { acrOf, combineAmr, dropUselessCodes, highestAcr, methodsOf } from './factors.js';
import { toPasskey } from './passkey-routes.js';
import { insufficientAuthentication, invalidSecondFactor, notFound } from './problems.js';
import { replaceCodes } from './recovery-codes.js';
import { empty, type Handler, json, readBody } from './requests.js';
import { encodeBase32, newTotpSecret } from './totp.js';

/** The routes of authenticator apps and recovery codes. */
export const factorRoutes: Record<string, Handler> = {
  'GET /auth/factors': async (state, request) => {
    const { account } = anySession(state, request);
    const { totp, recoveryCodes, passkeys } = account.factors;
    return json({
      password: account.password !== undefined,
      totp: totp ? { createdAt: totp.createdAt } : null,
      recoveryCodesLeft: recoveryCodes.size,
      passkeys: passkeys.map(toPasskey),
    } satisfies Factors);
  },
  'POST /auth/totp': async (state, request) => {
    const { account } = requireFresh(state, anySession(state, request));
    account.factors.pendingTotp = newTotpSecret();
    const secret = encodeBase32(account.factors.pendingTotp);
    const uri = `otpauth://totp/Latchkey:${encodeURIComponent(account.user.username)}?issuer=Latchkey&secret=${secret}&algorithm=SHA1&digits=6&period=30`;
    // Not a real QR code: nobody scans it.
    const qrCode = `<svg xmlns="http://www.w3.org/2000/svg"><title>${secret}</title></svg>`;
    return json({ secret, uri, qrCode } satisfies TotpEnrolment);
  },
  'POST /auth/totp/confirm': async (state, request) => {
    const { account, session } = anySession(state, request);
    const { totp: code } = await readBody(request, TotpConfirmation);
    const { factors, user } = account;
    const { pendingTotp: secret } = factors;
    if (!secret) throw notFound('authenticator app to confirm: request its secret first');
    const lastStep = state.totpClock.stepOf(secret, code);
    if (lastStep === undefined) throw invalidSecondFactor();
    // The account may have got its first factor after the session made this secret.
    const acr = highestAcr(factors);
    if (acr === 'aal2' && acrOf(session.amr) !== acr) throw insufficientAuthentication({ acr });
    beginFactors(state, account);
    factors.totp = { secret, lastStep, createdAt: new Date().toISOString() };
    factors.pendingTotp = undefined;
    account.credentialVersion++;
    session.amr = combineAmr(session.amr, ['otp']);
    state.mailbox.sendNotice('totp-added', user.email);
    return json({ recoveryCodes: replaceCodes(factors) } satisfies RecoveryCodes);
  },
  'DELETE /auth/totp': async (state, request) => {
    const { account } = requireFresh(state, anySession(state, request));
    const { factors, user } = account;
    if (factors.totp) {
      account.credentialVersion++;
      state.mailbox.sendNotice('totp-removed', user.email);
    }
    factors.totp = factors.pendingTotp = undefined;
    dropUselessCodes(factors);
    state.accounts.weakenSessions(account);
    return empty(204);
  },
  'POST /auth/recovery-codes': async (state, request) => {
    const { account } = requireFresh(state, currentSession(state, request));
    if (methodsOf(account.factors).length === 0) throw notFound('second factor that recovery codes could replace');
    state.mailbox.sendNotice('recovery-codes-made', account.user.email);
    return json({ recoveryCodes: replaceCodes(account.factors) } satisfies RecoveryCodes);
  },
};
