export type {
  Credentials,
  PasswordChange,
  Problem,
  ProblemCode,
  ProblemItem,
  Revocations,
  ServiceToken,
  Session,
  SignedIn,
  SignOutScope,
  User,
} from '@latchkey/user-schema';
export { type AuthClient, createAuthClient, type ServiceCredentials, type SignUpOptions } from './client.js';
export {
  type AuthClientError,
  AuthProblemError,
  type AuthTransportCode,
  AuthTransportError,
  isAuthClientError,
  SignedOutError,
} from './errors.js';
export type { AuthClientOptions, Fetch, RequestOptions } from './request-options.js';
export { createServiceTokens, type ServiceTokens, type ServiceTokensOptions } from './service-tokens.js';
export type { SessionLock, SessionStore, StoredSession } from './session-store.js';
export { createUserSession, type UserSession, type UserSessionOptions } from './user-session.js';
