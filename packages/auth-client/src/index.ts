export type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
// What browsers get; the verifier is for services.
export * from './browser.js';
export { createVerifier, type Verifier, type VerifierOptions } from './verifier.js';
export {
  type TokenRejectedCode,
  TokenRejectedError,
  type VerifierConfigurationCode,
  VerifierConfigurationError,
  type VerifierUnavailableCode,
  VerifierUnavailableError,
} from './verifier-errors.js';
