import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Problem, SignedIn, SignInRequest } from '@latchkey/user-schema';
import type { AuthClient } from '../../client.js';
import { AuthProblemError } from '../../errors.js';
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
}

/** Part of the HTTP contract, as a test. Rejects with an `AssertionError` when the target does not keep to it. */
export type Story = (target: StoryTarget) => Promise<void>;

type Person = { credentials: { username: string; password: string }; email: string };

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
