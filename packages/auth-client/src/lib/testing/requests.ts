import { Password as ContractPassword, PasskeyName } from '@latchkey/user-schema';
import { type Static, type TSchema, type TString, Type } from '@sinclair/typebox';
import { conforms } from '../schema-check.js';
import type { Accounts } from './accounts.js';
import type { Challenges } from './challenges.js';
import type { Clients } from './clients.js';
import { invalidMember, nonconforming } from './faults.js';
import type { TestFeed } from './feed.js';
import type { Links } from './links.js';
import type { Mailbox } from './mailbox.js';
import { invalidToken, missingToken, ProblemError } from './problems.js';
import type { TestTokens } from './tokens.js';
import type { TotpClock } from './totp.js';

/** What the handlers of a test issuer work on. */
export type IssuerState = {
  accounts: Accounts;
  challenges: Challenges;
  clients: Clients;
  feed: TestFeed;
  links: Links;
  mailbox: Mailbox;
  tokens: TestTokens;
  totpClock: TotpClock;
  passwordMinLength: number;
  reauthenticateAfterS: number;
  /** The domain of passkeys. */
  rpId: string;
  secondFactor: 'optional' | 'required';
  signUp: 'open' | 'email' | 'closed';
};

/** Responds to the requests of a route. */
export type Handler = (
  state: IssuerState,
  request: Request,
  // The signal is apart from the Request: that of a Request stops working when the Request is garbage-collected.
  context: { id: string; signal: AbortSignal },
) => Promise<Response>;

// Without the contract's pattern, which needs the flag `u`: TypeBox compiles patterns without it. `readBody` checks it.
export const Password: TString = Type.String();

// As Password.
export const Name: TString = Type.String({ minLength: 1, maxLength: 64 });

const NO_STORE = { 'cache-control': 'no-store' };

export function json(body: unknown, status = 200, headers: Record<string, string> = NO_STORE): Response {
  return Response.json(body, { status, headers });
}

export function empty(status: 202 | 204): Response {
  return new Response(null, { status });
}

/**
 * Reads the body of a request.
 *
 * @throws ProblemError
 */
export async function readBody<S extends TSchema>(
  request: Request,
  schema: S,
  whenEmpty?: Static<S>,
): Promise<Static<S>> {
  const text = await request.text();
  if (text === '' && whenEmpty !== undefined) return whenEmpty;
  if (!request.headers.get('content-type')?.startsWith('application/json')) {
    throw new ProblemError(415, 'unsupported_media_type', 'Send the body as Content-Type: application/json.');
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new ProblemError(400, 'invalid_json', 'The body is not valid JSON.');
  }
  if (!conforms(schema, body)) throw nonconforming('body', schema, body);
  for (const [member, value] of Object.entries(body as object)) {
    const contract = contractOf(member);
    if (contract && !new RegExp(contract.pattern as string, 'u').test(String(value))) {
      throw invalidMember(`/${member}`, 'pattern', contract['x-message']);
    }
  }
  return body;
}

/** The schema whose pattern is checked here. */
function contractOf(member: string): TString | undefined {
  if (member === 'name') return PasskeyName;
  return /password$/i.test(member) ? ContractPassword : undefined;
}

/**
 * Checks a new password.
 *
 * @throws ProblemError
 */
export function checkPassword(password: string, minLength: number, pointer: string): void {
  if ([...password].length >= minLength) return;
  const detail = `The password needs at least ${minLength} characters.`;
  throw new ProblemError(400, 'password_rejected', detail, { errors: [{ pointer, reason: 'too_short', detail }] });
}

/**
 * Reads the claims of the access token of a request.
 *
 * @throws ProblemError
 */
export function readBearer({ read }: TestTokens, { headers }: Request): Record<string, unknown> {
  const authorization = headers.get('authorization');
  if (authorization === null) throw missingToken();
  const claims = read(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
  if (!claims) throw invalidToken();
  return claims;
}
