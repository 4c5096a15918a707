export { addressOf, foldAddress } from './caller-address.js';
// What they declare of an app.
export type { EarlyRequest, EarlyResponder } from './early-responses.js';
export type {} from './health.js';
export { oneAtATime } from './http-server.js';
export type {} from './json-body.js';
export {
  type ProblemFormat,
  type ProblemResponses,
  problemResponses,
  problemResponsesAs,
  type Thrown,
} from './problem-responses.js';
export { describeError, type ErrorResponse, type RequestError, toProblem } from './problems.js';
export type { Audience } from './response-headers.js';
export { createService, type ServiceOptions } from './service.js';
