import type pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { readBcryptHash } from '../../credentials/password/stored-hash.js';
import type { Origin } from '../../events/recorder.js';
import { BadRowError, type Reading, readAccount } from './account-row.js';
import {
  createDryTable,
  type GivenAccount,
  insertAccounts,
  judgeLeftovers,
  type Leftover,
  notifyPasswordCosts,
  recordImport,
} from './account-table.js';
import type { FileRow } from './rows.js';

/** How an import went, in rows. */
export type ImportSummary = {
  rows: number;
  added: number;
  /** They were accounts here already, just so. */
  unchanged: number;
  /** An account here says otherwise, and was left as it is. */
  conflicts: number;
  /** They are no accounts. */
  rejected: number;
};

export type ImportOptions = {
  reading: Reading;
  dryRun: boolean;
  /** Ends it behind the rows that were begun. */
  signal: AbortSignal;
  /** Hears of each row that did not become an account. */
  onProblem: (line: number, problem: string) => void;
  /** Told the bcrypt cost of rows that cost more than new hashes, before they are added; again when others cost still more. */
  onHighCost: (cost: number) => void;
  onProgress: (summary: ImportSummary) => void;
};

const BATCH = 1000;
const CONFLICTS: Record<Exclude<Leftover, 'unchanged'>, string> = {
  username_taken: 'has the username of another account',
  id_taken: 'has the id of another account',
  other_hash: 'is an account here with another password hash, as after a sign-in; that was kept',
  other_state: 'is an account here that is disabled there and not here, or the other way round; it was left so',
  changing: 'is an account that was changed just now; run the import again',
};

/**
 * Adds the accounts of a file, a batch a transaction, and changes none that is there. So it may be killed, run again and
 * run twice at once; a dry run does all of it in a table of its own.
 */
export async function importAccounts(
  db: pg.Client,
  rows: AsyncIterable<FileRow>,
  origin: Origin,
  { reading, dryRun, signal, onProblem, onHighCost, onProgress }: ImportOptions,
): Promise<ImportSummary> {
  let highestCost = reading.bcryptCost;
  const summary: ImportSummary = { rows: 0, added: 0, unchanged: 0, conflicts: 0, rejected: 0 };
  const target = dryRun ? 'pg_temp.dry_users' : 'auth.users';
  const eventId = uuidv7();

  const addBatch = async (batch: (GivenAccount & { line: number })[]) => {
    const cost = Math.max(...batch.map(({ passwordHash }) => readBcryptHash(passwordHash ?? '')?.cost ?? 0));
    if (cost > highestCost) {
      highestCost = cost;
      onHighCost(cost);
    }
    if (!dryRun) await db.query('BEGIN');
    const left = await insertAccounts(db, batch, target);
    const verdicts = left.length > 0 ? await judgeLeftovers(db, left, target) : [];
    summary.added += batch.length - left.length;
    for (const [i, { line }] of left.entries()) {
      const verdict = verdicts[i] as Leftover;
      if (verdict === 'unchanged') summary.unchanged += 1;
      else {
        summary.conflicts += 1;
        onProblem(line, CONFLICTS[verdict]);
      }
    }
    if (!dryRun) {
      await recordImport(db, eventId, origin, summary);
      await db.query('COMMIT');
    }
    onProgress(summary);
  };

  if (dryRun) {
    await db.query('BEGIN');
    await createDryTable(db);
  }
  let batch: (GivenAccount & { line: number })[] = [];
  for await (const row of rows) {
    summary.rows += 1;
    try {
      batch.push(readAccount(row, reading));
    } catch (error) {
      if (!(error instanceof BadRowError)) throw error;
      summary.rejected += 1;
      onProblem(row.line, error.message);
    }
    if (batch.length >= BATCH) {
      await addBatch(batch);
      batch = [];
    }
    if (signal.aborted) break;
  }
  await addBatch(batch);
  if (dryRun) await db.query('ROLLBACK');
  else await notifyPasswordCosts(db);
  return summary;
}
