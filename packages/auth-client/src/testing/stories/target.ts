import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { AccessTokenClaims, Problem, SignedIn, SignInRequest } from '@latchkey/user-schema';
import type { AuthClient } from '../../client.js';
import { AuthProblemError, SecondFactorRequiredError } from '../../errors.js';
import type { TestMail, TestMailbox } from '../../lib/testing/mailbox.js';

/** What stories are told of: the auth-service, or the test issuer in its place. */
export interface StoryTarget {
  client: AuthClient;
  /** The mails that it sends. */
  mailbox: TestMailbox;
  /** Signs in, and makes that sign-in so old that a change of the e-mail address needs another. */
  signInLongAgo(credentials: SignInRequest): Promise<SignedIn>;
  /** Sends a JSON body, which need not conform to the contract. */
  post(path: string, body: object): Promise<Response>;
  /** Sends a request that the client has no method for. */
  get(path: string, token: string): Promise<Response>;
  /** Returns a code of an authenticator app that is valid and was not returned before. May wait for the time of one. */
  totpCode(secret: string): Promise<string>;
  /** An origin from which passkeys are accepted. */
  origin: string;
}

/** Part of the HTTP contract, as a test. Rejects with an `AssertionError` when the target does not keep to it. */
export type Story = (target: StoryTarget) => Promise<void>;

export type Person = { credentials: { username: string; password: string }; email: string };

/** A person whom no target knows yet. */
export function newPerson(): Person {
  const id = randomUUID().slice(0, 18);
  const credentials = { username: `user-${id}`, password: `open sesame ${randomUUID()}` };
  return { credentials, email: `${id}@example.com` };
}

/** Signs a new person up, and verifies the address. */
export async function signUpVerified(target: StoryTarget): Promise<Person & { signedIn: SignedIn }> {
  const person = newPerson();
  const signedIn = await target.client.signUp({ ...person.credentials, email: person.email });
  await target.client.verifyEmail(await linkFor(target, person.email));
  return { ...person, signedIn: { ...signedIn, user: await target.client.me(signedIn.token) } };
}

/** The mail with the link that verifies an address. */
export function linkFor({ mailbox }: StoryTarget, email: string): Promise<TestMail> {
  return mailbox.next(email, { template: 'verify-email' });
}

/** The mail with a new link that resets the password of an address's account. */
export async function resetLinkFor({ client, mailbox }: StoryTarget, email: string): Promise<TestMail> {
  await client.requestPasswordReset({ email });
  return mailbox.next(email, { template: 'reset-password' });
}

/** The problem by which a request is refused. */
export async function problemOf(request: Promise<unknown>): Promise<Problem> {
  const error = await request.then(
    () => new assert.AssertionError({ message: 'the request should be refused' }),
    error => error,
  );
  if (error instanceof AuthProblemError) return error.problem;
  throw error;
}

/** The sign-in that waits for a second factor. */
export async function dueFactor(request: Promise<unknown>): Promise<SecondFactorRequiredError> {
  const error = await request.then(
    () => new assert.AssertionError({ message: 'a second factor should be asked for' }),
    error => error,
  );
  if (error instanceof SecondFactorRequiredError) return error;
  throw error;
}

/** The claims of an access token. */
export function claimsOf({ token }: { token: string }): AccessTokenClaims {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
}

/** A new person who has enrolled an authenticator app, and the tokens of the session since. */
export type Enrolled = Person & { signedIn: SignedIn; secret: string; recoveryCodes: string[] };

/** Enrols an authenticator app in a session. */
export async function enrol(target: StoryTarget, person: Person, before: SignedIn): Promise<Enrolled> {
  const { client } = target;
  const { secret } = await client.startTotp(before.token);
  const { recoveryCodes } = await client.confirmTotp(before.token, { totp: await target.totpCode(secret) });
  return { ...person, secret, recoveryCodes, signedIn: await client.refresh(before.refreshToken) };
}

/** Signs a new person up, who then enrols an authenticator app. */
export async function signUpEnrolled(target: StoryTarget): Promise<Enrolled> {
  const person = newPerson();
  return enrol(target, person, await target.client.signUp(person.credentials));
}

/** Checks that one of several requests succeeds, and that the others are refused with the code. */
export async function assertOneWins(requests: Promise<unknown>[], code: string): Promise<void> {
  const outcomes = await Promise.allSettled(requests);
  const refused = outcomes.filter(outcome => outcome.status === 'rejected');
  assert.equal(refused.length, requests.length - 1);
  for (const { reason } of refused) assert.equal(reason.code, code);
}

/** What somebody can tell responses apart by. */
export async function describeResponse(response: Response): Promise<unknown[]> {
  const { status, headers } = response;
  return [status, headers.get('content-type'), headers.get('content-length'), await response.text()];
}
