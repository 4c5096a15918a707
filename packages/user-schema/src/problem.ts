import { type Static, Type } from '@sinclair/typebox';
import { SecondFactor } from './factors.js';

/** Every `code` of a problem. Codes are stable; titles and details are for people and may change. */
export const PROBLEM_CODES = [
  'invalid_request',
  'invalid_json',
  'password_rejected',
  'missing_token',
  'invalid_token',
  'invalid_credentials',
  'invalid_refresh_token',
  'invalid_one_time_token',
  'second_factor_required',
  'invalid_second_factor',
  'invalid_challenge',
  'invalid_passkey',
  'insufficient_user_authentication',
  'insufficient_scope',
  'sign_up_closed',
  'invalid_client',
  'invalid_scope',
  'unsupported_grant_type',
  'unsupported_token_type',
  'not_found',
  'method_not_allowed',
  'request_timeout',
  'username_taken',
  'email_taken',
  'last_credential',
  'too_many_passkeys',
  'idempotency_key_reused',
  'payload_too_large',
  'unsupported_media_type',
  'too_many_requests',
  'headers_too_large',
  'internal_error',
  'service_unavailable',
] as const;

/** Stable machine name of a problem, one of {@link PROBLEM_CODES}. */
export type ProblemCode = (typeof PROBLEM_CODES)[number];
export const ProblemCode = Type.Unsafe<ProblemCode>(Type.String({ enum: [...PROBLEM_CODES] }));

/** Every `reason` of a {@link ProblemItem}. Reasons are stable; a later version may have more. */
export const PROBLEM_REASONS = [
  'required',
  'unknown_member',
  'type',
  'too_short',
  'too_long',
  'pattern',
  'not_allowed',
  'too_few',
  'too_many',
  'common',
  'contains_username',
  'breached',
  'invalid',
] as const;

/** Stable machine name of what is wrong with a member, one of {@link PROBLEM_REASONS}. */
export type ProblemReason = (typeof PROBLEM_REASONS)[number];
export const ProblemReason = Type.Unsafe<ProblemReason>(
  Type.String({ enum: [...PROBLEM_REASONS], description: 'Stable machine name of what is wrong' }),
);

/** One fault of a request, as in the example of RFC 9457 §3. */
export const ProblemItem = Type.Object({
  pointer: Type.String({ description: 'JSON pointer (RFC 6901) into the part of the request that is wrong' }),
  reason: ProblemReason,
  detail: Type.String({ description: 'A sentence that a form can show beside the field' }),
});
export type ProblemItem = Static<typeof ProblemItem>;

/** The body of an error response, `application/problem+json` (RFC 9457). */
export const Problem = Type.Object({
  type: Type.String({ description: 'URI of the kind of problem' }),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: ProblemCode,
  requestId: Type.String(),
  errors: Type.Optional(Type.Array(ProblemItem, { description: 'What is wrong with the request, 10 at most' })),
  challenge: Type.Optional(
    Type.String({ description: 'With `second_factor_required`: identifies the sign-in that waits for it' }),
  ),
  methods: Type.Optional(
    Type.Array(SecondFactor, { description: 'With `second_factor_required`: what the account has' }),
  ),
  expiresIn: Type.Optional(
    Type.Integer({ description: 'With `second_factor_required`: how long the challenge is good for, in seconds' }),
  ),
});
export type Problem = Static<typeof Problem>;
