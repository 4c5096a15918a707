import type { Problem, ProblemCode, SecondFactor } from '@latchkey/user-schema';

type OrdinaryCode = Exclude<ProblemCode, 'second_factor_required'>;

/**
 * The service refused the request with a problem (RFC 9457). Its `detail` is the error's message.
 *
 * `code` is the problem's stable name. A newer service may send a code that this version does not list.
 */
export class AuthProblemError<Code extends ProblemCode = OrdinaryCode> extends Error {
  override readonly name: string = 'AuthProblemError';
  readonly code: Code;
  /** The body of the response. */
  readonly problem: Problem;
  /** `Retry-After` in seconds (RFC 9110 §10.2.3); `undefined` when the response had none. */
  readonly retryAfterS: number | undefined;
  /** With `insufficient_user_authentication`: how long ago the user may have signed in, in seconds (RFC 9470 §3). */
  readonly maxAgeS: number | undefined;
  /** With `insufficient_user_authentication`: the claim `acr` that the access token needs, such as `aal1`. */
  readonly acr: string | undefined;

  constructor(
    problem: Problem & { code: Code },
    retryAfterS?: number,
    needed: { maxAgeS?: number; acr?: string } = {},
  ) {
    super(problem.detail);
    this.code = problem.code;
    this.problem = problem;
    this.retryAfterS = retryAfterS;
    this.maxAgeS = needed.maxAgeS;
    this.acr = needed.acr;
  }
}

/**
 * The password is right, and the account has a second factor: `completeSignIn` with the challenge and a proof of one of the
 * `methods` signs in. What a sign-in rejects with, and a sign-up that is sent again.
 */
export class SecondFactorRequiredError extends AuthProblemError<'second_factor_required'> {
  override readonly name = 'SecondFactorRequiredError';
  /** Identifies the sign-in. Good for one sign-in, and for five tries. */
  readonly challenge: string;
  /** What the account has. A newer service may send one that this version does not list. */
  readonly methods: readonly SecondFactor[];
  /** How long the challenge is good for, in seconds. */
  readonly expiresIn: number;

  constructor(
    problem: Problem & { code: 'second_factor_required' } & Required<
        Pick<Problem, 'challenge' | 'methods' | 'expiresIn'>
      >,
  ) {
    super(problem);
    this.challenge = problem.challenge;
    this.methods = problem.methods;
    this.expiresIn = problem.expiresIn;
  }
}

/**
 * Why there is no response of the service: `timeout` (the deadline passed), `aborted` (by the caller's signal),
 * `network_error` (the connection failed or broke), `unexpected_answer` (the response is not one of the HTTP contract, such
 * as a gateway's error page or a redirect).
 */
export type AuthTransportCode = 'timeout' | 'aborted' | 'network_error' | 'unexpected_answer';

/** The request got no valid response of the service. Whether it took effect is unknown. */
export class AuthTransportError extends Error {
  override readonly name = 'AuthTransportError';
  readonly code: AuthTransportCode;
  readonly problem: undefined;
  /** HTTP status of an unexpected response. */
  readonly status: number | undefined;

  constructor(code: AuthTransportCode, message: string, options?: ErrorOptions & { status?: number }) {
    super(message, options);
    this.code = code;
    this.status = options?.status;
  }
}

/** The user is not signed in, or the session has ended. `cause`, if any, is the service's {@link AuthProblemError}. */
export class SignedOutError extends Error {
  override readonly name = 'SignedOutError';
  readonly code: 'signed_out' = 'signed_out';
  readonly problem: undefined;

  constructor(options?: ErrorOptions) {
    super('Nobody is signed in.', options);
  }
}

/**
 * The service has accepted a sign-up, and mailed a link: the account exists when its owner has opened the link. `signUp`
 * rejects with it at a service with `SIGN_UP=email`; `requestSignUp` does not.
 */
export class SignUpPendingError extends Error {
  override readonly name = 'SignUpPendingError';
  readonly code: 'sign_up_pending' = 'sign_up_pending';
  readonly problem: undefined;

  constructor() {
    super('The account exists when the link in the mail has been opened.');
  }
}

/** What the methods of `AuthClient` and `UserSession` reject with. Switch on `code`. */
export type AuthClientError =
  | AuthProblemError
  | SecondFactorRequiredError
  | AuthTransportError
  | SignedOutError
  | SignUpPendingError;

const ERRORS = [AuthProblemError, AuthTransportError, SignedOutError, SignUpPendingError];

/**
 * Distinguishes the client's errors from others, and narrows the type so that `code` can be switched on.
 *
 * @param error - what was caught
 */
export function isAuthClientError(error: unknown): error is AuthClientError {
  return ERRORS.some(type => error instanceof type);
}
