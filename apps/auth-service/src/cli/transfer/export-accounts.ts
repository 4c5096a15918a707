import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { link, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Queryable } from '@latchkey/service-kit/database';
import { type ExportedAccount, readAccounts } from './account-table.js';
import type { Format } from './rows.js';

const PIECE = 2000;
const COLUMNS = ['id', 'username', 'passwordHash', 'createdAt', 'disabled'] as const;

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
    if (format === 'csv') yield `${COLUMNS.join(',')}\r\n`;
    for await (const accounts of readAccounts(db, PIECE)) {
      count += accounts.length;
      yield accounts.map(format === 'csv' ? toCsv : account => `${JSON.stringify(account)}\n`).join('');
    }
  };
  const source = Readable.from(pieces());
  if (file === undefined) await pipeline(source, process.stdout, { signal }).catch(ignoreClosedPipe);
  else await writeWhole(source, file, signal);
  return count;
}

/** The file appears when it is whole, and never in place of another. Nobody else may read it: it holds hashes. */
async function writeWhole(source: Readable, file: string, signal: AbortSignal): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await pipeline(source, createWriteStream(draft, { flags: 'wx', mode: 0o600 }), { signal });
    await link(draft, file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`Cannot write ${file}: ${code === 'EEXIST' ? 'there is such a file already' : message}`);
  } finally {
    await rm(draft, { force: true });
  }
}

function toCsv(account: ExportedAccount): string {
  const fields = COLUMNS.map(name => String(account[name] ?? ''));
  // Argon2's parameters have commas.
  return `${fields.map(field => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',')}\r\n`;
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}
