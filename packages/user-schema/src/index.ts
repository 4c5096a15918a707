export * from './problem.js';
export * from './token.js';
export * from './user.js';
