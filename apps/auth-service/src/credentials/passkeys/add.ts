import type { Queryable } from '@latchkey/service-kit/database';
import type { Passkey } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { statement } from '../../database/sql.js';
import { EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../../events/recorder.js';
import { PasskeyRejectedError, TooManyPasskeysError } from '../../http/errors.js';
import { useChallenge } from '../../sessions/challenges.js';
import type { CheckedRegistration } from './registration.js';
import { findPasskeys, type OfAccount, PASSKEY } from './stored-passkeys.js';
import { claimHandle } from './user-handle.js';
import type { NewPasskey } from './verification.js';

/** The most passkeys that an account may have. */
export const MAX_PASSKEYS = 20;

const DEFAULT_NAME = 'Passkey';
/** Why a registration that was used is refused. */
export const USED = 'The options were used already: request new ones.';
const OUTDATED = 'Another passkey was added meanwhile: request new options.';
const KNOWN = 'The account has that passkey already.';

type Added = Passkey & { events: RecordedEvent[] };

// A sign-in that has begun without the passkey does not go on without it.
const ADD = statement<Added, NewPasskey & OfAccount & { id: string; name: string; origin: string }>(`
  WITH added AS (
    INSERT INTO auth.passkeys AS p (account_id, id, credential_id, public_key, rp_id, name, sign_count, backup_eligible,
      backed_up, transports)
    SELECT $accountId::uuid, $id::uuid, $credentialId::bytea, $publicKey::bytea, $rpId::text, $name::text, $signCount::bigint,
      $backupEligible::boolean, $backedUp::boolean, $transports::text[]
    WHERE (SELECT count(*) FROM auth.passkeys o WHERE o.account_id = $accountId) < ${MAX_PASSKEYS}
    ON CONFLICT DO NOTHING RETURNING p.*
  ), versioned AS (
    UPDATE auth.users SET credential_version = credential_version + 1 WHERE id = $accountId AND EXISTS (SELECT FROM added)
  ), ${recorded({
    event: 'passkey_added',
    from: 'added',
    account: 'added.account_id',
    details: `jsonb_build_object('passkeyId', added.id)`,
    notice: 'added',
  })}
  SELECT ${PASSKEY}, ${EVENTS} FROM added p`);

type NamedPasskey = { accountId: string; registration: CheckedRegistration; name?: string | undefined };

/**
 * Adds a passkey to an account. Runs in a transaction that has locked the account.
 *
 * @throws PasskeyRejectedError, TooManyPasskeysError
 */
export async function addPasskey(
  db: Queryable,
  { accountId, registration, name = DEFAULT_NAME }: NamedPasskey,
  origin: Origin,
): Promise<{ passkey: Passkey; events: RecordedEvent[] }> {
  const { challenge, passkey, rpId } = registration;
  if (!(await useChallenge(db, accountId, challenge))) throw new PasskeyRejectedError(USED);
  if (!(await claimHandle(db, accountId, challenge.handle))) throw new PasskeyRejectedError(OUTDATED);
  const values = { ...passkey, accountId, rpId, name, id: uuidv7(), origin: originValue(origin) };
  const [added] = await ADD(db, values);
  if (added) {
    const { events, ...passkey } = added;
    return { passkey, events };
  }
  const { count } = await findPasskeys(db, { accountId, rpId });
  throw count < MAX_PASSKEYS ? new PasskeyRejectedError(KNOWN) : new TooManyPasskeysError(MAX_PASSKEYS);
}
