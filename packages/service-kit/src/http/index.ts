export { addressOf, foldAddress } from './caller-address.js';
// What they declare of an app.
export type {} from './draining.js';
export type {} from './health.js';
export { oneAtATime } from './one-at-a-time.js';
export { problemResponses } from './problem-responses.js';
export { describeError, type RequestError, toProblem } from './problems.js';
export type { Audience } from './response-headers.js';
export { createService, type ServiceOptions } from './service.js';
