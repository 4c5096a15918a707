import { utc } from '../../database/sql.js';

/** The columns of a `Passkey`, of a passkey `p`. */
export const PASSKEY = `p.id, p.name, ${utc('p.created_at')} AS "createdAt", ${utc('p.last_used_at')} AS "lastUsedAt",
  p.backed_up AS "backedUp"`;
