export * from './idempotency.js';
export * from './oauth.js';
export * from './problem.js';
export * from './revocation.js';
export * from './session.js';
export * from './session-expiries.js';
export * from './token.js';
export * from './user.js';
