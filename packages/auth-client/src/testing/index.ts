export { createTestIssuer, type TestIssuer, type TestIssuerOptions } from './test-issuer.js';
