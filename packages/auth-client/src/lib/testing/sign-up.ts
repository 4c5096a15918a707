import {
  EmailAddress,
  IdempotencyKey,
  type SignUpRequest as SignUp,
  SignUpHeaders,
  Username,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { conforms } from '../schema-check.js';
import { methodsOf } from './factors.js';
import { invalidMember } from './faults.js';
import { ProblemError, signUpClosed, usernameTaken } from './problems.js';
import { checkPassword, empty, type Handler, type IssuerState, json, Password, readBody } from './requests.js';
import { startSignIn } from './sign-in-routes.js';

const SignUpRequest = Type.Object(
  { username: Username, password: Password, email: Type.Optional(EmailAddress) },
  { additionalProperties: false },
);

/** The handler of sign-ups, with each setting of `SIGN_UP`. */
export const signUp: Handler = async (state, request) => {
  if (state.signUp === 'closed') throw signUpClosed();
  const key = readIdempotencyKey(request);
  const body = await readBody(request, SignUpRequest);
  if (state.signUp === 'email') return signUpByEmail(state, body);

  const { accounts, tokens, mailbox, links } = state;
  const before = accounts.find(body.username);
  if (before && key !== undefined && key === before.signUp?.key) {
    if (before.password !== body.password) {
      const detail = 'A sign-up with other credentials has had that Idempotency-Key.';
      throw new ProblemError(422, 'idempotency_key_reused', detail);
    }
    const session = accounts.findSession(before.signUp.sessionId);
    const isUnproved = methodsOf(before.factors).length > 0 || session?.amr.includes('mfa');
    const isUnchanged = session?.refreshTokens.length === 1 && !isUnproved;
    return isUnchanged ? json(tokens.signedIn(session), 201) : startSignIn(state, request, before, ['pwd'], 201);
  }
  checkPassword(body.password, state.passwordMinLength, '/password');
  const account = accounts.add(body);
  if (!account) throw usernameTaken();
  if (body.email !== undefined) {
    mailbox.sendLink('verify-email', body.email, links.add('verify-email', account, body.email).token);
  }
  const userAgent = request.headers.get('user-agent');
  const session = accounts.startSession(account.user, { amr: ['pwd'], userAgent });
  if (key !== undefined) account.signUp = { key, sessionId: session.id };
  return json(tokens.signedIn(session), 201);
};

/** Responds in the same way whether or not the username and the address are known: the mail tells. */
function signUpByEmail({ accounts, links, mailbox, passwordMinLength }: IssuerState, body: SignUp): Response {
  const { username, password, email = username } = body;
  if (!conforms(EmailAddress, email)) {
    throw invalidMember('/email', 'required', 'This is required: a link in a mail makes the account.');
  }
  checkPassword(password, passwordMinLength, '/password');
  if (accounts.find(username) || accounts.findByEmail(email)) mailbox.sendNotice('sign-up-repeated', email);
  else {
    const { token } = links.add('verify-email', { signUp: { username, password } }, email);
    mailbox.sendLink('verify-email', email, token);
  }
  return empty(202);
}

function readIdempotencyKey({ headers }: Request): string | undefined {
  const header = headers.get('idempotency-key');
  if (header === null) return undefined;
  if (conforms(SignUpHeaders, { 'idempotency-key': header })) {
    return header.startsWith('"') ? header.slice(1, -1).replace(/\\(.)/g, '$1') : header;
  }
  throw invalidMember('/idempotency-key', 'pattern', IdempotencyKey['x-message'], 'headers');
}
