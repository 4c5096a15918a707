import { utc } from '../database/sql.js';

/** The columns of a {@link User}, of an account `u`. */
export const ACCOUNT = `u.id, u.username, u.email, ${utc('u.created_at')} AS "createdAt"`;
