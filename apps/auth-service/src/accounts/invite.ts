import type { Queryable } from '@latchkey/service-kit/database';
import { uuidv7 } from 'uuidv7';
import { CLAIMED, foldName } from '../credentials/identifiers.js';
import { statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';

// It has no password until its link has been used.
const ADD = statement<{ id: string }, { id: string; name: string; username: string; origin: string }>(`
  WITH ${CLAIMED}, added AS (
    INSERT INTO auth.users AS u (id, username) SELECT user_id, $username FROM claimed RETURNING u.id
  ), ${recorded({ event: 'user_invited', from: 'added', account: 'added.id' })}
  SELECT id FROM added`);

/** Adds an account whose owner is to choose a password by a link; resolves to its id, or `undefined` when the name is taken. */
export async function addInvited(db: Queryable, username: string, origin: Origin): Promise<string | undefined> {
  const values = { id: uuidv7(), name: foldName(username), username, origin: originValue(origin) };
  const [added] = await ADD(db, values);
  return added?.id;
}
