/**
 * Refuses a request because too many wait already. The response is 503, and it is not logged: it is no fault, and comes by the
 * thousand.
 */
export class BusyError extends Error {
  readonly code = 'service_unavailable';
  readonly statusCode = 503;
}
