import { type EmailMethods, emailMethods } from './client/email.js';
import { type FactorMethods, factorMethods } from './client/factors.js';
import { type PasskeyMethods, passkeyMethods } from './client/passkeys.js';
import { type PasswordMethods, passwordMethods } from './client/password.js';
import { type ServiceMethods, serviceMethods } from './client/services.js';
import { type SessionMethods, sessionMethods } from './client/sessions.js';
import { type SignInMethods, signInMethods } from './client/sign-in.js';
import { type SignUpMethods, signUpMethods } from './client/sign-up.js';
import { type StepUpMethods, stepUpMethods } from './client/step-up.js';
import { createClientRequests } from './lib/client-requests.js';
import type { AuthClientOptions } from './request-options.js';

export type { ServiceCredentials } from './client/services.js';
export type { SignUpOptions } from './client/sign-up.js';

/**
 * Typed client of the auth-service. Every method rejects with an {@link AuthClientError}: `AuthProblemError` when the
 * service refused the request, `AuthTransportError` when no valid response of the service came back.
 */
export interface AuthClient
  extends SignUpMethods,
    SignInMethods,
    SessionMethods,
    StepUpMethods,
    PasswordMethods,
    EmailMethods,
    FactorMethods,
    PasskeyMethods,
    ServiceMethods {
  /** URL of the auth-service, as given, without a slash at its end. */
  readonly baseUrl: string;
}

/**
 * Creates a client of the auth-service.
 *
 * ```ts
 * const auth = createAuthClient({ baseUrl: 'http://localhost:3000' });
 * const { token, user } = await auth.signIn({ username, password });
 * ```
 *
 * @throws TypeError when `baseUrl` is not an http(s) URL, or has credentials, a query or a fragment
 */
export function createAuthClient(options: AuthClientOptions): AuthClient {
  const requests = createClientRequests(options);
  return {
    baseUrl: String(options.baseUrl).replace(/\/+$/, ''),
    ...signUpMethods(requests),
    ...signInMethods(requests),
    ...sessionMethods(requests),
    ...stepUpMethods(requests),
    ...passwordMethods(requests),
    ...emailMethods(requests),
    ...factorMethods(requests),
    ...passkeyMethods(requests),
    ...serviceMethods(requests, options.timeoutMs),
  };
}
