import { isDatabaseUnavailable, kindOfDatabaseError } from '../database/error-kinds.js';
import { describeRefusal, placeOf } from '../database/refusal.js';
import { ConfigError } from '../settings/environment.js';

/**
 * Says why a service cannot start and what to do about it.
 *
 * @param databaseUrl when given, errors of the connection name the server, the role and the database
 * @param roleAdvice what to do when the database role lacks a privilege
 */
export function explain(
  error: unknown,
  databaseUrl = '',
  roleAdvice = 'Grant it what it lacks, or set DATABASE_URL to a role that has it.',
): string {
  if (error instanceof ConfigError) return error.message;
  const { code, port, address, syscall } = error as NodeJS.ErrnoException & { port?: number; address?: string };
  if (code === 'EADDRINUSE') return `Port ${port} of ${address} is in use. Set PORT to another one.`;
  if (code === 'EACCES') return `Port ${port} may not be used by this user. Set PORT to another one.`;
  const message =
    error instanceof AggregateError ? error.errors.map(String).join('; ') : String((error as Error).message);
  const place = placeOf(databaseUrl);
  // isDatabaseUnavailable leaves out what lasts until it is changed: a socket that does not exist, a server without TLS.
  const isOfConnection = isDatabaseUnavailable(error) || syscall === 'connect' || /\bSSL\b|certificate/.test(message);
  const refusal = place && isOfConnection && describeRefusal(error as NodeJS.ErrnoException, place);
  if (refusal) return `The database cannot be used: ${refusal.detail}. ${refusal.advice}`;
  const kind = kindOfDatabaseError(error);
  if (kind === 'login-refused' || kind === 'no-database')
    return `The database refuses us (${message}). Check DATABASE_URL.`;
  if (isDatabaseUnavailable(error)) return `The database does not respond (${message}). Check DATABASE_URL.`;
  if (kind === 'not-allowed') return `The database role may not do that (${message}). ${roleAdvice}`;
  return message;
}
