import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../../database/sql.js';
import { byAccount, EVENTS, originValue, type RecordedEvent, recorded } from '../../events/recorder.js';
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

const REPLACE = statement<never, { accountId: string; hashes: Buffer[] }>(`
  WITH dropped AS (DELETE FROM auth.recovery_codes WHERE account_id = $accountId)
  INSERT INTO auth.recovery_codes (account_id, code_hash) SELECT $accountId, unnest($hashes::bytea[])`);

const COUNT = statement<{ left: number }, { accountId: string }>(
  'SELECT count(*)::int AS left FROM auth.recovery_codes WHERE account_id = $accountId',
);

/** Makes new recovery codes; those that the account has had are void. */
export async function replaceCodes(db: Queryable, accountId: string): Promise<string[]> {
  const codes = Array.from({ length: CODES }, newCode);
  await REPLACE(db, { accountId, hashes: codes.map(code => hashCode(code) as Buffer) });
  return codes;
}

/** How many codes of an account have not been used. */
export async function countCodes(db: Queryable, accountId: string): Promise<number> {
  const [row] = await COUNT(db, { accountId });
  return row?.left ?? 0;
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
