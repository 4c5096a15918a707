import { Command } from 'commander';
import { withDatabase } from '../database.js';
import { exportAccounts } from '../transfer/export-accounts.js';
import type { Format } from '../transfer/rows.js';
import { formatOf, formatOption, onInterrupt } from './transfer-options.js';

/** `latchkey users export` */
export function exportCommand(): Command {
  return new Command('export')
    .description('write all accounts with their password hashes, in the form that import reads')
    .argument('[file]', 'file to create, readable by its owner only; by default, or with -, standard output')
    .addOption(formatOption())
    .action(async (file: string | undefined, options: { format?: Format }) => {
      const target = file === '-' ? undefined : file;
      const format = options.format ?? (target === undefined ? 'ndjson' : formatOf(target));
      const signal = onInterrupt();
      const count = await withDatabase(({ db }) => exportAccounts(db, target, format, signal));
      console.error(`${count} ${count === 1 ? 'account' : 'accounts'}.`);
    });
}
