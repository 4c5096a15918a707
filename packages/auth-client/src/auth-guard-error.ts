import type { FastifyReply } from 'fastify';

/**
 * What the guard throws. `www-authenticate` (RFC 6750 §3, RFC 9470 §3) or, with 503, `retry-after` is set on the reply already.
 *
 * The error handler of the app decides the body: services on `@latchkey/service-kit` respond with a problem (RFC 9457) that
 * has this `code`. An app without an error handler responds as Fastify does to every error, with `application/json`:
 *
 * ```json
 * {"statusCode":401,"code":"missing_token","error":"Unauthorized","message":"Send an access token: Authorization: Bearer …"}
 * ```
 */
export class AuthGuardError extends Error {
  override readonly name = 'AuthGuardError';
  /**
   * `missing_token` and `invalid_token` (401), `insufficient_user_authentication` (401): the user must prove more, or prove it
   * again; `insufficient_scope` (403), or `service_unavailable` (503): the keys could not be fetched, or the feed of ended
   * sessions is stale and `onStale` is `closed`.
   */
  readonly code:
    | 'missing_token'
    | 'invalid_token'
    | 'insufficient_user_authentication'
    | 'insufficient_scope'
    | 'service_unavailable';
  /** HTTP status of the response. */
  readonly statusCode: 401 | 403 | 503;
  /** The headers of the response, for error handlers that make it anew. */
  readonly headers: Record<string, string>;

  constructor(
    code: AuthGuardError['code'],
    message: string,
    options?: ErrorOptions & { headers?: Record<string, string> },
  ) {
    super(message, options);
    this.code = code;
    this.statusCode = STATUS[code];
    this.headers = options?.headers ?? {};
  }
}

const STATUS = {
  missing_token: 401,
  invalid_token: 401,
  insufficient_user_authentication: 401,
  insufficient_scope: 403,
  service_unavailable: 503,
} as const;

/** Sets the challenge of a refusal, and makes its error. */
export function refuse(
  reply: FastifyReply,
  code: AuthGuardError['code'],
  message: string,
  challenge: string,
  cause?: Error,
): AuthGuardError {
  const headers = { 'www-authenticate': challenge };
  reply.headers(headers);
  return new AuthGuardError(code, message, { headers, ...(cause && { cause }) });
}
