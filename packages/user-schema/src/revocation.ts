import { type Static, Type } from '@sinclair/typebox';

/** The scope that a service's token needs for the revocation feed. */
export const REVOCATIONS_SCOPE = 'revocations:read';

/** How long a request to the revocation feed waits for an entry at most, in seconds. */
export const MAX_REVOCATIONS_WAIT_S = 30;

/** The preference (RFC 7240) for packed sessions: a third of the bytes. A service of an earlier version does not know it. */
export const PREFER_PACKED = 'packed';

/** A session that has ended and whose access tokens may still live. */
export const Revocation = Type.Object({
  sid: Type.String({ format: 'uuid', description: 'Id of the session, the claim `sid` of its tokens' }),
  exp: Type.Integer({ description: 'When its last access token expires, in seconds since 1970' }),
});
export type Revocation = Static<typeof Revocation>;

/** A page of the revocation feed: sessions that have ended, and the keys that sign tokens. */
export const Revocations = Type.Object({
  cursor: Type.String({ description: 'Opaque; send it as `after` to read what comes next' }),
  revoked: Type.Array(Revocation),
  packed: Type.Optional(
    Type.String({
      description: `In place of \`revoked\`, for requests with \`Prefer: ${PREFER_PACKED}\` (RFC 7240): base64 of the sessions, 20 bytes each: the id, and \`exp\` as an unsigned integer in network byte order`,
    }),
  ),
  more: Type.Optional(Type.Boolean({ description: 'Whether there is more to read at once, behind the cursor' })),
  keys: Type.Array(Type.String(), { description: 'Ids of the keys that tokens may be signed with now' }),
});
export type Revocations = Static<typeof Revocations>;
