class CodedError<Code extends string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Why a token is rejected: `expired_token`, `ended_session` (its session was signed out or ended otherwise),
 * `insufficient_scope` (a service's token without the required scope), or `invalid_token`: malformed, forged, of another
 * issuer, for another audience, not valid yet, or a user's token where a service's is required and the other way round.
 */
export type TokenRejectedCode = 'invalid_token' | 'expired_token' | 'ended_session' | 'insufficient_scope';

/** The token must not be accepted; `code` says why. Respond with 401, or 403 for `insufficient_scope` (RFC 6750 §3.1). */
export class TokenRejectedError extends CodedError<TokenRejectedCode> {
  override readonly name = 'TokenRejectedError';
}

/**
 * Why tokens cannot be verified now: `keys_unavailable` (the issuer's keys could not be fetched) or `stale_revocations`
 * (the feed of ended sessions was last read more than `maxStalenessMs` ago, and `onStale` is `closed`).
 */
export type VerifierUnavailableCode = 'keys_unavailable' | 'stale_revocations';

/** It is unknown whether the token is valid: respond with 503, try again later, and sign nobody out. */
export class VerifierUnavailableError extends CodedError<VerifierUnavailableCode> {
  override readonly name = 'VerifierUnavailableError';
}

/**
 * Why the auth-service refuses the verifier's client: `invalid_client` (the id is unknown, the client is disabled, or the
 * secret is wrong), `invalid_scope` or `insufficient_scope` (the client does not have the scope `revocations:read`).
 */
export type VerifierConfigurationCode = 'invalid_client' | 'invalid_scope' | 'insufficient_scope';

/** The auth-service refuses the verifier's client. A retry does not help: a setting must be changed. */
export class VerifierConfigurationError extends CodedError<VerifierConfigurationCode> {
  override readonly name = 'VerifierConfigurationError';
}
