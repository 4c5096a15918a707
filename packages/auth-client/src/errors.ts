import type { Problem, ProblemCode } from '@latchkey/user-schema';

/**
 * The service answered with a problem (RFC 9457).
 *
 * `code` is the problem's stable name. A newer service may answer with a code that this version does not list.
 */
export class AuthProblemError extends Error {
  override readonly name = 'AuthProblemError';
  readonly code: ProblemCode;
  readonly problem: Problem;
  /** How long to wait before another try, in seconds, when the service said so (`Retry-After`). */
  readonly retryAfterS: number | undefined;

  constructor(problem: Problem, retryAfterS?: number) {
    super(problem.detail);
    this.code = problem.code;
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

/**
 * Why no answer of the service came back: `timeout` (the deadline passed), `aborted` (by the caller's signal),
 * `network_error` (no connection, or it broke), `unexpected_answer` (an answer that is not the service's, such as a
 * gateway's error page or a redirect).
 */
export type AuthTransportCode = 'timeout' | 'aborted' | 'network_error' | 'unexpected_answer';

/** The call did not get an answer of the service. Whether it took effect is unknown. */
export class AuthTransportError extends Error {
  override readonly name = 'AuthTransportError';
  readonly code: AuthTransportCode;
  readonly problem: undefined;
  /** Status of an unexpected answer. */
  readonly status: number | undefined;

  constructor(code: AuthTransportCode, message: string, options?: ErrorOptions & { status?: number }) {
    super(message, options);
    this.code = code;
    this.status = options?.status;
  }
}

/** Nobody is signed in, or not any more: the user must sign in again. The cause, if any, is what the service said. */
export class SignedOutError extends Error {
  override readonly name = 'SignedOutError';
  readonly code: 'signed_out' = 'signed_out';
  readonly problem: undefined;

  constructor(options?: ErrorOptions) {
    super('Nobody is signed in.', options);
  }
}

/** Everything that a call of the client or of a user's session rejects with: switch on `code`. */
export type AuthClientError = AuthProblemError | AuthTransportError | SignedOutError;

/** Tells the client's errors from others, so that `code` narrows them. */
export function isAuthClientError(error: unknown): error is AuthClientError {
  return error instanceof AuthProblemError || error instanceof AuthTransportError || error instanceof SignedOutError;
}
