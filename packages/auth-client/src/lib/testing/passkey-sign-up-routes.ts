import { PasskeySignUpOptionsRequest } from '@latchkey/user-schema';
import { signUpClosed, usernameTaken } from './problems.js';
import { passkeyAmr } from './proofs.js';
import { creationOptions, NewPasskey, newHandle, passkeyRejected, register } from './registration.js';
import { type Handler, json, readBody } from './requests.js';
import { startSignIn } from './sign-in-routes.js';
import { challengeOf } from './webauthn.js';

/** The routes of sign-ups with a passkey. */
export const passkeySignUpRoutes: Record<string, Handler> = {
  'POST /auth/sign-up/passkey/options': async (state, request) => {
    if (state.signUp !== 'open') throw signUpClosed();
    const { username, email } = await readBody(request, PasskeySignUpOptionsRequest);
    const handle = newHandle();
    const challenge = state.challenges.make('passkey-sign-up', { username, email, handle });
    return json(creationOptions(state, challenge, { handle, username, passkeys: [] }));
  },
  'POST /auth/sign-up/passkey': async (state, request) => {
    if (state.signUp !== 'open') throw signUpClosed();
    const { response, name } = await readBody(request, NewPasskey);
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
