/**
 * Refuses a request because too many wait already. It is answered with 503 and not logged: it is no fault, and comes by the
 * thousand.
 */
export class BusyError extends Error {
  readonly code = 'service_unavailable';
  readonly statusCode = 503;
}
