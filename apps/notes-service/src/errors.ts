import { createError } from '@fastify/error';

export const AuthUnavailableError = createError('service_unavailable', 'auth-service does not respond.', 503);
export const NoteNotFoundError = createError('not_found', 'You have no such note.', 404);
export const TokenNotAcceptedError = createError('invalid_token', 'The access token is not accepted any more.', 401);
