import { forServices } from './lib/for-services.js';
import type { createServiceTokens as CreateServiceTokens } from './service-tokens.js';
import type { createVerifier as CreateVerifier } from './verifier.js';

// What browsers get of the package.
export * from './shared.js';

export const createServiceTokens: typeof CreateServiceTokens = forServices(
  'createServiceTokens',
  'It needs the secret of a client, which every visitor could read. Use createUserSession.',
);
export const createVerifier: typeof CreateVerifier = forServices(
  'createVerifier',
  'A page sends tokens, and the services that it calls verify them. Use createUserSession.',
);
