import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { link, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Queryable } from '@latchkey/service-kit/database';
import { stringify } from 'csv-stringify/sync';
import { readAccounts } from './account-table.js';
import type { Format } from './rows.js';

const PIECE = 2000;
const CSV = {
  columns: ['id', 'username', 'email', 'passwordHash', 'createdAt', 'disabled'],
  record_delimiter: 'windows',
  cast: { boolean: String },
};

/**
 * Writes all accounts to a new file, or to standard output.
 *
 * @returns how many there are
 */
export async function exportAccounts(
  db: Queryable,
  file: string | undefined,
  format: Format,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  const pieces = async function* () {
    if (format === 'csv') yield stringify([], { ...CSV, header: true });
    for await (const accounts of readAccounts(db, PIECE)) {
      count += accounts.length;
      yield format === 'csv'
        ? stringify(accounts, CSV)
        : accounts.map(account => `${JSON.stringify(account)}\n`).join('');
    }
  };
  const source = Readable.from(pieces());
  if (file === undefined) await pipeline(source, process.stdout, { signal }).catch(ignoreClosedPipe);
  else await writeWhole(source, file, signal);
  return count;
}

/** Writes a draft and links it, so that the file is complete and replaces no other. Only its owner may read it: it holds hashes. */
async function writeWhole(source: Readable, file: string, signal: AbortSignal): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await pipeline(source, createWriteStream(draft, { flags: 'wx', mode: 0o600 }), { signal });
    await link(draft, file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`Cannot write ${file}: ${code === 'EEXIST' ? 'the file exists' : message}`);
  } finally {
    await rm(draft, { force: true });
  }
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}
