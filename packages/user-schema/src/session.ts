import { type Static, Type } from '@sinclair/typebox';
import { Password } from './user.js';

/** The body of a refresh. */
export const RefreshRequest = Type.Object(
  { refreshToken: Type.String({ maxLength: 256 }) },
  { additionalProperties: false },
);
export type RefreshRequest = Static<typeof RefreshRequest>;

/** Which of one's sessions a sign-out ends. */
export type SignOutScope = 'current' | 'others' | 'all';
export const SignOutScope = Type.Unsafe<SignOutScope>(Type.String({ enum: ['current', 'others', 'all'] }));

/** The body of a sign-out; without a scope it ends the current session. */
export const SignOutRequest = Type.Object({ scope: Type.Optional(SignOutScope) }, { additionalProperties: false });
export type SignOutRequest = Static<typeof SignOutRequest>;

/** The body of a password change. */
export const PasswordChange = Type.Object(
  { currentPassword: Password, newPassword: Password },
  { additionalProperties: false },
);
export type PasswordChange = Static<typeof PasswordChange>;

/** A session as its owner sees it. Times are RFC 3339, UTC. */
export const Session = Type.Object({
  id: Type.String({ format: 'uuid' }),
  userAgent: Type.Union([Type.String(), Type.Null()]),
  address: Type.Union([Type.String(), Type.Null()], { description: 'IP address of the sign-in' }),
  createdAt: Type.String({ format: 'date-time' }),
  lastUsedAt: Type.String({ format: 'date-time', description: 'Time of the sign-in or of the last refresh' }),
  current: Type.Boolean({ description: 'Whether it is the session that asks' }),
});
export type Session = Static<typeof Session>;

/** One's live sessions, the newest first. */
export const Sessions = Type.Object({ sessions: Type.Array(Session) });
export type Sessions = Static<typeof Sessions>;
