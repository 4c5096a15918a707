import { SignedIn, User } from '@latchkey/user-schema';
import { type Static, type TObject, type TOptional, Type } from '@sinclair/typebox';

type UserMembers = typeof User.properties;
type ReceivedUserMembers = Omit<UserMembers, 'email'> & { email: TOptional<UserMembers['email']> };
type ReceivedSignedInMembers = Omit<typeof SignedIn.properties, 'user'> & { user: TObject<ReceivedUserMembers> };

/** A user as received or stored: services and clients of the version before have no `email`. */
export const ReceivedUser: TObject<ReceivedUserMembers> = Type.Object({
  ...User.properties,
  email: Type.Optional(User.properties.email),
});

/** The response of a sign-in as received. */
export const ReceivedSignedIn: TObject<ReceivedSignedInMembers> = Type.Object({
  ...SignedIn.properties,
  user: ReceivedUser,
});

/** Reads a missing `email` as none. */
export function toUser(user: Static<typeof ReceivedUser>): User {
  return { ...user, email: user.email ?? null };
}

/** As {@link toUser}, for the user of a response or of a stored session. */
export function withUser<T extends { user: Static<typeof ReceivedUser> }>(received: T): T & { user: User } {
  return { ...received, user: toUser(received.user) };
}
