import { Username } from '@latchkey/user-schema';
import { TypeCompiler } from '@sinclair/typebox/compiler';

const usernames = TypeCompiler.Compile(Username);

/** Whether a value can be the username of an account. */
export const isUsername = (value: unknown): value is Username => usernames.Check(value);

/** What a username is, for messages. */
export const USERNAME_FORM = '3 to 64 characters of A-Z a-z 0-9 . _ @ + -';
