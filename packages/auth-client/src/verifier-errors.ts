/**
 * Why a token is not accepted: `expired_token`, `ended_session` (its session was signed out or ended otherwise),
 * `insufficient_scope` (a service's token without the scope asked for), or `invalid_token`: malformed, forged, of another
 * issuer, for another audience, not valid yet, or a service's token where a user's belongs, and the other way round.
 */
export type TokenRejectedCode = 'invalid_token' | 'expired_token' | 'ended_session' | 'insufficient_scope';

/** The token is not one to accept; `code` says why. */
export class TokenRejectedError extends Error {
  override readonly name = 'TokenRejectedError';
  readonly code: TokenRejectedCode;

  constructor(code: TokenRejectedCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Why tokens cannot be judged now: `keys_unavailable` (the issuer's keys could never be fetched) or `stale_revocations`
 * (it is too long ago that the feed of ended sessions was heard, and the verifier is told to fail closed).
 */
export type VerifierUnavailableCode = 'keys_unavailable' | 'stale_revocations';

/** Nothing is known about the token: ask again later. Not a reason to sign anybody out. */
export class VerifierUnavailableError extends Error {
  override readonly name = 'VerifierUnavailableError';
  readonly code: VerifierUnavailableCode;

  constructor(code: VerifierUnavailableCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Why the auth-service refuses the verifier's client: `invalid_client` (it does not know the client, or the secret is
 * another one), `invalid_scope` or `insufficient_scope` (the client has not the scope `revocations:read`).
 */
export type VerifierConfigurationCode = 'invalid_client' | 'invalid_scope' | 'insufficient_scope';

/** The auth-service refuses the verifier's client. Trying again does not help: somebody has to change a setting. */
export class VerifierConfigurationError extends Error {
  override readonly name = 'VerifierConfigurationError';
  readonly code: VerifierConfigurationCode;

  constructor(code: VerifierConfigurationCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
