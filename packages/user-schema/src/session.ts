import { type Static, Type } from '@sinclair/typebox';
import { NewPassword, Password } from './user.js';

/** The body of a refresh; each refresh token is good for one. */
export const RefreshRequest = Type.Object(
  { refreshToken: Type.String({ maxLength: 256 }) },
  { additionalProperties: false },
);
export type RefreshRequest = Static<typeof RefreshRequest>;

/** Which of the account's sessions a sign-out ends: that of the request, all but that, or all. */
export type SignOutScope = 'current' | 'others' | 'all';
export const SignOutScope = Type.Unsafe<SignOutScope>(Type.String({ enum: ['current', 'others', 'all'] }));

/** The body of a sign-out; `current` is the default scope. */
export const SignOutRequest = Type.Object({ scope: Type.Optional(SignOutScope) }, { additionalProperties: false });
export type SignOutRequest = Static<typeof SignOutRequest>;

/** The body of a password change. Without `currentPassword` it sets the first password of an account that has none. */
export const PasswordChange = Type.Object(
  { currentPassword: Type.Optional(Password), newPassword: NewPassword },
  { additionalProperties: false },
);
export type PasswordChange = Static<typeof PasswordChange>;

/** A session in the list of its account. Times are RFC 3339, UTC. */
export const Session = Type.Object({
  id: Type.String({ format: 'uuid' }),
  userAgent: Type.Union([Type.String(), Type.Null()]),
  address: Type.Union([Type.String(), Type.Null()], { description: 'IP address of the sign-in' }),
  createdAt: Type.String({ format: 'date-time' }),
  lastUsedAt: Type.String({ format: 'date-time', description: 'Time of the sign-in or of the last refresh' }),
  current: Type.Boolean({ description: 'Whether it is the session that asks' }),
});
export type Session = Static<typeof Session>;

/** The pattern of a UUID (RFC 9562 §4) as PostgreSQL accepts it. The JSON schema format `uuid` also accepts URNs. */
export const UUID_PATTERN = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';

/** The parameters of a path that names one thing by its id. */
export const IdParams = Type.Object({ id: Type.String({ pattern: UUID_PATTERN, 'x-message': 'A UUID.' }) });
export type IdParams = Static<typeof IdParams>;

/** The largest number of sessions on a page of the list. */
export const MAX_SESSIONS_PAGE = 100;

/** The query of a request for a page of the list of sessions. */
export const SessionsQuery = Type.Object(
  {
    after: Type.Optional(
      Type.String({ pattern: UUID_PATTERN, 'x-message': 'A UUID.', description: 'The `next` of the page before' }),
    ),
    // A string, because query parameters are strings and Ajv does not coerce types.
    limit: Type.Optional(
      Type.String({
        pattern: '^([1-9]\\d?|100)$',
        'x-message': `A number from 1 to ${MAX_SESSIONS_PAGE}.`,
        description: `Size of the page, 1 to ${MAX_SESSIONS_PAGE}, which is the default`,
      }),
    ),
  },
  { additionalProperties: false },
);
export type SessionsQuery = Static<typeof SessionsQuery>;

/** A page of the account's live sessions, the newest first. */
export const Sessions = Type.Object({
  sessions: Type.Array(Session),
  next: Type.Optional(Type.String({ description: 'Send it as `after` for the next page; absent on the last' })),
});
export type Sessions = Static<typeof Sessions>;
