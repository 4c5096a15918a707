import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../../database/sql.js';
import { byAccount, EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../../events/recorder.js';
import { AMR } from '../../sessions/factors.js';
import type { CheckedProof } from '../proof.js';
import { hashCode, newCode } from './code.js';

const CODES = 10;
// The owner is told of each use, with the number that is left.
const USE = statement<{ events: RecordedEvent[] }, { accountId: string; hash: Buffer; origin: string }>(`
  WITH used AS (
    DELETE FROM auth.recovery_codes WHERE account_id = $accountId AND code_hash = $hash RETURNING account_id
  ), ${recorded({
    event: 'recovery_code_used',
    from: 'used',
    account: 'used.account_id',
    details: `jsonb_build_object('left',
      (SELECT count(*) - 1 FROM auth.recovery_codes c WHERE c.account_id = used.account_id))`,
    actor: byAccount('used.account_id'),
    notice: 'used',
  })}
  SELECT ${EVENTS} FROM used`);

const REPLACED = `dropped AS (
    DELETE FROM auth.recovery_codes WHERE account_id = $accountId
  ), made AS (
    INSERT INTO auth.recovery_codes (account_id, code_hash) SELECT $accountId::uuid, unnest($hashes::bytea[]) RETURNING account_id
  )`;
type Made = { accountId: string; hashes: Buffer[] };
const REPLACE = statement<never, Made>(`WITH ${REPLACED} SELECT FROM made`);
const RENEW = statement<{ events: RecordedEvent[] }, Made & { origin: string }>(`
  WITH ${REPLACED}, once AS (SELECT DISTINCT account_id FROM made),
  ${recorded({ event: 'recovery_codes_made', from: 'once', account: 'once.account_id', notice: 'once' })}
  SELECT ${EVENTS}`);

/** Makes the recovery codes that come with a factor; those that the account has had are void. */
export async function replaceCodes(db: Queryable, accountId: string): Promise<string[]> {
  const { codes, hashes } = makeCodes();
  await REPLACE(db, { accountId, hashes });
  return codes;
}

/** Makes new recovery codes for an account that has asked for them; those that it has had are void. */
export async function renewCodes(
  db: Queryable,
  accountId: string,
  origin: Origin,
): Promise<{ codes: string[]; events: RecordedEvent[] }> {
  const { codes, hashes } = makeCodes();
  const [renewed] = await RENEW(db, { accountId, hashes, origin: originValue(origin) });
  return { codes, events: renewed?.events ?? [] };
}

function makeCodes(): { codes: string[]; hashes: Buffer[] } {
  const codes = Array.from({ length: CODES }, newCode);
  return { codes, hashes: codes.map(code => hashCode(code) as Buffer) };
}

/** Checks a recovery code as typed. Whether the account has it is found when it is used. */
export function checkRecoveryCode(accountId: string, typed: string): CheckedProof | undefined {
  const hash = hashCode(typed);
  return (
    hash && {
      accountId,
      amr: AMR.recoveryCode,
      use: async (db, origin) => (await USE(db, { accountId, hash, origin: originValue(origin) }))[0]?.events,
    }
  );
}
