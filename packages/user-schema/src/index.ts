export * from './problem.js';
export * from './session.js';
export * from './token.js';
export * from './user.js';
