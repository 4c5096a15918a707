import { forServices } from '../lib/for-services.js';
import type { createTestIssuer as CreateTestIssuer } from './test-issuer.js';
import type { createVirtualAuthenticator as CreateVirtualAuthenticator } from './virtual-authenticator.js';

// What browsers get of @latchkey/auth-client/testing.
const ADVICE = 'Run it in Node.js: listen() serves its routes to a page.';
export const createTestIssuer: typeof CreateTestIssuer = forServices('createTestIssuer', ADVICE);
export const createVirtualAuthenticator: typeof CreateVirtualAuthenticator = forServices(
  'createVirtualAuthenticator',
  ADVICE,
);
