export type {
  Credentials,
  EmailState,
  ForgotPasswordRequest,
  PasswordChange,
  PendingEmail,
  Problem,
  ProblemCode,
  ProblemItem,
  ResetPasswordRequest,
  Revocations,
  ServiceToken,
  Session,
  SetEmailRequest,
  SignedIn,
  SignInRequest,
  SignOutScope,
  SignUpRequest,
  User,
  VerifyEmailRequest,
} from '@latchkey/user-schema';
export { type AuthClient, createAuthClient, type ServiceCredentials, type SignUpOptions } from './client.js';
export {
  type AuthClientError,
  AuthProblemError,
  type AuthTransportCode,
  AuthTransportError,
  isAuthClientError,
  SignedOutError,
  SignUpPendingError,
} from './errors.js';
export type { AuthClientOptions, Fetch, RequestOptions } from './request-options.js';
export { createServiceTokens, type ServiceTokens, type ServiceTokensOptions } from './service-tokens.js';
export type { SessionLock, SessionStore, StoredSession } from './session-store.js';
export { createUserSession, type UserSession, type UserSessionOptions } from './user-session.js';
