import { isDatabaseUnavailable } from './database-errors.js';
import { ConfigError } from './environment.js';

/** Says why a service cannot start and what to do about it. */
export function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  const { code, port, address } = error as NodeJS.ErrnoException & { port?: number; address?: string };
  if (code === 'EADDRINUSE') return `Port ${port} of ${address} is in use. Set PORT to another one.`;
  if (code === 'EACCES') return `Port ${port} may not be used by this user. Set PORT to another one.`;
  const message =
    error instanceof AggregateError ? error.errors.map(String).join('; ') : String((error as Error).message);
  // 28xxx: invalid authorization, 3D000: no such database.
  if (/^(28...|3D000)$/.test(code ?? '')) return `The database refuses us (${message}). Check DATABASE_URL.`;
  if (isDatabaseUnavailable(error)) return `The database does not answer (${message}). Check DATABASE_URL.`;
  // 42501: insufficient privilege.
  if (code === '42501') {
    return `The database role may not do that (${message}). Migrate with the role that owns the schema, latchkey migrate --grant-to ROLE, and serve as that ROLE with MIGRATE_ON_START=false.`;
  }
  return message;
}
