import type { Queryable } from '@latchkey/service-kit/database';
import { seal, unseal } from '../../config/sealing.js';
import type { Secrets } from '../../config/secrets.js';
import { statement } from '../../database/sql.js';
import { EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../../events/recorder.js';
import { AMR } from '../../sessions/factors.js';
import type { CheckedProof } from '../proof.js';
import { stepOf } from './code.js';

/** How long an authenticator app may be confirmed after its secret was made, in seconds. */
const PENDING_S = 3600;

type Sealed = { secret: Buffer; secretId: string };
type Confirmed = { events: RecordedEvent[] };

const START = statement<never, Sealed & { accountId: string }>(`
  INSERT INTO auth.totp (account_id, pending_secret, pending_secret_id, pending_expires_at)
  VALUES ($accountId, $secret, $secretId, now() + interval '${PENDING_S} seconds')
  ON CONFLICT (account_id) DO UPDATE SET pending_secret = excluded.pending_secret,
    pending_secret_id = excluded.pending_secret_id, pending_expires_at = excluded.pending_expires_at`);

const FIND = statement<Sealed, { accountId: string }>(`
  SELECT secret, secret_id AS "secretId" FROM auth.totp WHERE account_id = $accountId AND confirmed_at IS NOT NULL`);

const FIND_PENDING = statement<Sealed, { accountId: string }>(`
  SELECT pending_secret AS secret, pending_secret_id AS "secretId" FROM auth.totp
  WHERE account_id = $accountId AND pending_expires_at > now()`);

// The version changes with what proves the account: a sign-in that has begun without the app does not go on without it.
const NEXT_VERSION = (from: string) =>
  `versioned AS (UPDATE auth.users SET credential_version = credential_version + 1 WHERE id = $accountId AND EXISTS (SELECT FROM ${from}))`;

const CONFIRM = statement<Confirmed, { accountId: string; secret: Buffer; step: number; origin: string }>(`
  WITH confirmed AS (
    UPDATE auth.totp SET secret = pending_secret, secret_id = pending_secret_id, last_step = $step::bigint, confirmed_at = now(),
      pending_secret = NULL, pending_secret_id = NULL, pending_expires_at = NULL
    WHERE account_id = $accountId AND pending_secret = $secret AND pending_expires_at > now() RETURNING account_id
  ), ${NEXT_VERSION('confirmed')}, ${recorded({
    event: 'totp_added',
    from: 'confirmed',
    account: 'confirmed.account_id',
    notice: 'confirmed',
  })}
  SELECT ${EVENTS} FROM confirmed`);

// Of several uses of a code, one finds that its step is new.
const USE = statement<{ used: boolean }, { accountId: string; step: number }>(`
  UPDATE auth.totp SET last_step = $step::bigint
  WHERE account_id = $accountId AND confirmed_at IS NOT NULL AND last_step < $step::bigint RETURNING true AS used`);

// Without a factor, recovery codes stand for nothing.
const REMOVE = statement<Confirmed, { accountId: string; origin: string }>(`
  WITH removed AS (
    DELETE FROM auth.totp WHERE account_id = $accountId RETURNING account_id, confirmed_at
  ), codes AS (
    DELETE FROM auth.recovery_codes WHERE account_id = $accountId
      AND NOT EXISTS (SELECT FROM auth.passkeys p WHERE p.account_id = $accountId)
  ), was AS (
    SELECT account_id FROM removed WHERE confirmed_at IS NOT NULL
  ), ${NEXT_VERSION('was')}, ${recorded({
    event: 'totp_removed',
    from: 'was',
    account: 'was.account_id',
    notice: 'was',
  })}
  SELECT ${EVENTS}`);

const sealOf = (accountId: string) => ({ purpose: 'totp-sealing' as const, context: accountId });

/** Makes a secret the one that an account may confirm. */
export async function startTotp(db: Queryable, [current]: Secrets, accountId: string, secret: Buffer): Promise<void> {
  await START(db, { accountId, secret: seal(secret, current, sealOf(accountId)), secretId: current.id });
}

/** A secret that is stored, and a code of it. */
export type TotpStep = { sealed: Buffer; step: number };

/**
 * Finds the step of a code of the secret that awaits its confirmation.
 *
 * @returns `undefined` when there is no such secret, or AUTH_SECRETS has lost what has sealed it; `step` is when the code is not one of it
 */
export async function findPendingStep(
  db: Queryable,
  secrets: Secrets,
  accountId: string,
  code: string,
): Promise<{ sealed: Buffer; step: number | undefined } | undefined> {
  const [found] = await FIND_PENDING(db, { accountId });
  if (!found || !secrets.some(({ id }) => id === found.secretId)) return undefined;
  return { sealed: found.secret, step: stepOf(open(found, secrets, accountId), code) };
}

/** Confirms the secret, which replaces the one before. Runs in a transaction; `undefined` when another one was made meanwhile. */
export async function confirmTotp(
  db: Queryable,
  accountId: string,
  { sealed, step }: TotpStep,
  origin: Origin,
): Promise<RecordedEvent[] | undefined> {
  const [confirmed] = await CONFIRM(db, { accountId, secret: sealed, step, origin: originValue(origin) });
  return confirmed?.events;
}

/** Checks a code of an account's authenticator app. */
export async function checkTotp(
  db: Queryable,
  secrets: Secrets,
  accountId: string,
  code: string,
): Promise<CheckedProof | undefined> {
  const [found] = await FIND(db, { accountId });
  const step = found && stepOf(open(found, secrets, accountId), code);
  if (found === undefined || step === undefined) return undefined;
  return {
    accountId,
    amr: AMR.totp,
    use: async db => ((await USE(db, { accountId, step })).length > 0 ? [] : undefined),
  };
}

/** Removes the authenticator app of an account, confirmed or not. Runs in a transaction. */
export async function removeTotp(db: Queryable, accountId: string, origin: Origin): Promise<RecordedEvent[]> {
  const [removed] = await REMOVE(db, { accountId, origin: originValue(origin) });
  return removed?.events ?? [];
}

const FIND_OLD = statement<Sealed & { accountId: string }, { older: string[]; batch: number }>(`
  SELECT account_id AS "accountId", secret, secret_id AS "secretId" FROM auth.totp
  WHERE confirmed_at IS NOT NULL AND secret_id = ANY ($older::text[]) ORDER BY account_id LIMIT $batch FOR UPDATE SKIP LOCKED`);

const RESEAL = statement<never, Sealed & { accountId: string }>(
  'UPDATE auth.totp SET secret = $secret, secret_id = $secretId WHERE account_id = $accountId',
);

/**
 * Seals up to `batch` secrets anew that an older secret of AUTH_SECRETS has sealed, so that it can be removed; returns how many. Runs
 * in a transaction.
 */
export async function resealTotp(db: Queryable, secrets: Secrets, batch: number): Promise<number> {
  const [current, ...older] = secrets;
  const found = await FIND_OLD(db, { older: older.map(({ id }) => id), batch });
  for (const sealed of found) {
    const { accountId } = sealed;
    const secret = seal(open(sealed, secrets, accountId), current, sealOf(accountId));
    await RESEAL(db, { accountId, secret, secretId: current.id });
  }
  return found.length;
}

/** How many authenticator apps need a secret of AUTH_SECRETS. */
export type TotpCount = { secretId: string; apps: number };

/** Counts the authenticator apps by the secrets of AUTH_SECRETS that have sealed theirs. */
export async function countTotpSecrets(db: Queryable): Promise<TotpCount[]> {
  const { rows } = await db.query<TotpCount>(
    `SELECT secret_id AS "secretId", count(*)::int AS apps
     FROM auth.totp WHERE confirmed_at IS NOT NULL GROUP BY 1 ORDER BY 1`,
  );
  return rows;
}

function open({ secret, secretId }: Sealed, secrets: Secrets, accountId: string): Buffer {
  return unseal(secret, secretId, secrets, {
    ...sealOf(accountId),
    name: `secret of the authenticator app of account ${accountId}`,
    advice: 'Add this secret to AUTH_SECRETS, behind the current one.',
  });
}
