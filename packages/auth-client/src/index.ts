export type {
  Credentials,
  PasswordChange,
  Problem,
  ProblemCode,
  ProblemItem,
  Session,
  SignedIn,
  SignOutScope,
  User,
} from '@latchkey/user-schema';
export { type AuthClient, type AuthClientOptions, type CallOptions, createAuthClient } from './client.js';
export {
  type AuthClientError,
  AuthProblemError,
  type AuthTransportCode,
  AuthTransportError,
  isAuthClientError,
} from './errors.js';
export type { Fetch } from './http.js';
