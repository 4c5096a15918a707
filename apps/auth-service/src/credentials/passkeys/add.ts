import type { Queryable } from '@latchkey/service-kit/database';
import type { Passkey } from '@latchkey/user-schema';
import type { Origin, RecordedEvent } from '../../events/recorder.js';
import { PasskeyRejectedError, TooManyPasskeysError } from '../../http/errors.js';
import { useChallenge } from '../../sessions/challenges.js';
import type { CheckedRegistration } from './registration.js';
import { claimHandle, findPasskeys, insertPasskey, MAX_PASSKEYS } from './stored-passkeys.js';

const DEFAULT_NAME = 'Passkey';
const USED = 'The options were used already: request new ones.';
const OUTDATED = 'Another passkey was added meanwhile: request new options.';
const KNOWN = 'The account has that passkey already.';

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
  const added = await insertPasskey(db, { ...passkey, accountId, rpId, name }, origin);
  if (added) return added;
  const { count } = await findPasskeys(db, { accountId, rpId });
  throw count < MAX_PASSKEYS ? new PasskeyRejectedError(KNOWN) : new TooManyPasskeysError(MAX_PASSKEYS);
}
