export type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
export { createServiceTokens, type ServiceTokens, type ServiceTokensOptions } from './service-tokens.js';
export * from './shared.js';
export { createVerifier, type Verifier, type VerifierOptions } from './verifier.js';
export {
  type TokenRejectedCode,
  TokenRejectedError,
  type VerifierConfigurationCode,
  VerifierConfigurationError,
  type VerifierUnavailableCode,
  VerifierUnavailableError,
} from './verifier-errors.js';
