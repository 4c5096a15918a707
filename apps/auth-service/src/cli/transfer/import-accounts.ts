import type pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { readBcryptHash } from '../../credentials/password/stored-hash.js';
import type { Origin } from '../../events/recorder.js';
import { BadRowError, type Reading, readAccount } from './account-row.js';
import {
  createDryTables,
  type GivenAccount,
  insertAccounts,
  judgeLeftovers,
  type Leftover,
  notifyPasswordCosts,
  recordImport,
} from './account-table.js';
import type { FileRow } from './rows.js';

/** The result of an import, in rows. */
export type ImportSummary = {
  rows: number;
  added: number;
  /** They exist as accounts with the same name, hash and state. */
  unchanged: number;
  /** They differ from an existing account, which is not changed. */
  conflicts: number;
  /** They are not valid accounts. */
  rejected: number;
};

export type ImportOptions = {
  reading: Reading;
  dryRun: boolean;
  /** Ends the import after the current batch. */
  signal: AbortSignal;
  /** Called for each row that was not added, in the order of the lines. */
  onProblem: (line: number, problem: string) => void;
  /** Called before rows are added whose bcrypt cost is higher than that of new hashes, and again for a still higher one. */
  onHighCost: (cost: number) => void;
  onProgress: (summary: ImportSummary) => void;
};

type Problem = { line: number; problem: string };
type Batch = { accounts: (GivenAccount & { line: number })[]; problems: Problem[] };

const BATCH = 1000;
const newBatch = (): Batch => ({ accounts: [], problems: [] });
const CONFLICTS: Record<Exclude<Leftover, 'unchanged'>, string> = {
  username_taken: 'has the username of another account, or of another row: letters count in either case',
  email_taken: 'has the email of another account',
  id_taken: 'has the id of another account',
  other_hash:
    'has another password hash than the account of this name, which is in the file twice or has signed in since; an import does not change it',
  other_state: 'differs in "disabled" from the account of this name; an import does not change it',
  changing: 'names an account that is being changed; run the import again',
};

/**
 * Adds the accounts of a file, one transaction for each batch, and changes no existing account. It may be killed and run
 * again, or run twice at once. A dry run does the same in a temporary table.
 */
export async function importAccounts(
  db: pg.Client,
  rows: AsyncIterable<FileRow>,
  origin: Origin,
  { reading, dryRun, signal, onProblem, onHighCost, onProgress }: ImportOptions,
): Promise<ImportSummary> {
  let highestCost = reading.bcryptCost;
  const summary: ImportSummary = { rows: 0, added: 0, unchanged: 0, conflicts: 0, rejected: 0 };
  const target = dryRun ? 'pg_temp' : 'auth';
  const eventId = uuidv7();

  const addBatch = async ({ accounts, problems }: Batch) => {
    const cost = Math.max(...accounts.map(({ passwordHash }) => readBcryptHash(passwordHash ?? '')?.cost ?? 0));
    if (cost > highestCost) {
      highestCost = cost;
      onHighCost(cost);
    }
    if (!dryRun) await db.query('BEGIN');
    const left = await insertAccounts(db, accounts, target);
    const verdicts = left.length > 0 ? await judgeLeftovers(db, left, target) : [];
    const conflicts = left.flatMap(({ line }, i) => {
      const verdict = verdicts[i] as Leftover;
      return verdict === 'unchanged' ? [] : [{ line, problem: CONFLICTS[verdict] }];
    });
    summary.added += accounts.length - left.length;
    summary.unchanged += left.length - conflicts.length;
    summary.conflicts += conflicts.length;
    summary.rejected += problems.length;
    if (!dryRun) {
      await recordImport(db, eventId, origin, summary);
      await db.query('COMMIT');
    }
    const all = [...problems, ...conflicts].sort((a, b) => a.line - b.line);
    for (const { line, problem } of all) onProblem(line, problem);
    onProgress(summary);
  };

  if (dryRun) {
    await db.query('BEGIN');
    await createDryTables(db);
  }
  let batch = newBatch();
  for await (const row of rows) {
    summary.rows += 1;
    try {
      batch.accounts.push(readAccount(row, reading));
    } catch (error) {
      if (!(error instanceof BadRowError)) throw error;
      batch.problems.push({ line: row.line, problem: error.message });
    }
    if (batch.accounts.length + batch.problems.length >= BATCH) {
      await addBatch(batch);
      batch = newBatch();
    }
    if (signal.aborted) break;
  }
  await addBatch(batch);
  if (dryRun) await db.query('ROLLBACK');
  else await notifyPasswordCosts(db);
  return summary;
}
