import { type Static, Type } from '@sinclair/typebox';

const QUOTED = String.raw`"(?:[!#-\[\]-~]|\\["\\]){1,255}"`;
// Without comma, semicolon and quotes: they would make it a list, give it parameters, or quote it (RFC 8941).
const BARE = String.raw`[!#-+\--:<-\[\]-~]{1,255}`;

/**
 * The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a string of RFC 8941 §3.3.3, `"…"`, with 1 to
 * 255 visible ASCII characters. Most clients omit the quotes, so the same characters without them are the same key.
 */
export const IdempotencyKey = Type.String({
  pattern: `^(?:${QUOTED}|${BARE})$`,
  'x-message': '1 to 255 visible ASCII characters, quoted or not.',
  description:
    'A value that nobody else would choose, such as a UUID, quoted or not; 1 to 255 visible ASCII characters. The same key with the same credentials gives the same account and session again, for 24 hours.',
  examples: ['"0b3f5a5e-2f0c-4a53-9d0f-6a1f5f6f2c1e"'],
});
export type IdempotencyKey = Static<typeof IdempotencyKey>;

/** The headers of a sign-up. */
export const SignUpHeaders = Type.Object({ 'idempotency-key': Type.Optional(IdempotencyKey) });
export type SignUpHeaders = Static<typeof SignUpHeaders>;
