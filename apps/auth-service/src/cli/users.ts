import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { Command, InvalidArgumentError, Option } from 'commander';
import { setDisabled } from '../accounts/disable.js';
import type { FirebaseProject } from '../credentials/password/foreign-hashes/scrypt.js';
import { withConnection, withDatabase } from './database.js';
import { printRows } from './output.js';
import { showProgress } from './progress.js';
import { COLUMNS } from './transfer/account-row.js';
import { exportAccounts } from './transfer/export-accounts.js';
import { importAccounts } from './transfer/import-accounts.js';
import { type Format, readRows } from './transfer/rows.js';

type FirebaseOptions = {
  firebaseSignerKeyFile?: string;
  firebaseSaltSeparator: Buffer;
  firebaseRounds: number;
  firebaseMemCost: number;
};
type ImportCommandOptions = FirebaseOptions & { format?: Format; dryRun?: boolean; json?: boolean };

const FORMATS: Record<string, Format> = { '.ndjson': 'ndjson', '.jsonl': 'ndjson', '.csv': 'csv' };
const INTERRUPTED = 130;

/** `latchkey users …` */
export function userCommands(): Command {
  const users = new Command('users').description('import, export, disable and enable accounts');
  const formatOption = () =>
    new Option('--format <format>', 'format of the file; by default, the one of its extension').choices([
      'ndjson',
      'csv',
    ]);

  users
    .command('import')
    .description('add the accounts of a file; existing accounts are not changed')
    .argument(
      '<file>',
      'NDJSON or CSV file, or - for standard input; members: username, passwordHash, id?, createdAt?, disabled?',
    )
    .addOption(formatOption())
    .option('--dry-run', 'check every row, also against the existing accounts, and add none')
    .option(
      '--firebase-signer-key-file <file>',
      'file with the base64_signer_key of the Firebase project that rows with a salt come from',
    )
    .addOption(
      new Option('--firebase-salt-separator <base64>', 'base64_salt_separator of the Firebase project')
        .default(base64('Bw=='), 'Bw==')
        .argParser(base64),
    )
    .option('--firebase-rounds <number>', 'rounds of the Firebase project', positive, 8)
    .option('--firebase-mem-cost <number>', 'mem_cost of the Firebase project', positive, 14)
    .option('--json', 'print JSON')
    .action(runImport);

  users
    .command('export')
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

  for (const [name, disabled, description] of [
    ['disable', true, 'disable an account: it cannot sign in, and its sessions end'],
    ['enable', false, 'enable a disabled account: it can sign in again'],
  ] as const) {
    users
      .command(name)
      .description(description)
      .argument('<username>')
      .option('--json', 'print JSON')
      .action(async (username: string, { json }: { json?: boolean }) => {
        const changed = await withDatabase(({ db, origin }) => setDisabled(db, { username, disabled }, origin));
        if (changed === undefined) throw new Error(`There is no account ${username}.`);
        if (json) console.log(JSON.stringify({ username, disabled, changed }, null, 2));
        else console.error(`The account ${username} ${changed ? `is ${name}d` : `was ${name}d already`}.`);
      });
  }

  return users;
}

async function runImport(file: string, options: ImportCommandOptions): Promise<void> {
  const { dryRun = false, json } = options;
  const format = options.format ?? (file === '-' ? 'ndjson' : formatOf(file));
  const firebase = await firebaseProject(options);
  const { input, size, bytesRead } = await openInput(file);
  const signal = onInterrupt();
  const progress = showProgress(size);
  const summary = await withConnection(({ db, config: { authSecrets, bcryptCost }, origin }) =>
    importAccounts(db, readRows(input, format, COLUMNS), origin, {
      reading: { secretIds: authSecrets.map(({ id }) => id), bcryptCost, ...(firebase && { firebase }) },
      dryRun,
      signal,
      onProblem: (line, problem) => progress.print(`Line ${line} ${problem}.`),
      onHighCost: cost => {
        const times = 2 ** (cost - bcryptCost);
        progress.print(
          `There are rows of bcrypt cost ${cost}: every sign-in takes ${times} times as long as with BCRYPT_COST=${bcryptCost} until each of these accounts has signed in.`,
        );
      },
      onProgress: ({ rows, added }) => progress.update(bytesRead(), `${rows} rows, ${added} added`),
    }),
  ).finally(() => progress.stop());
  input.destroy();
  if (json) console.log(JSON.stringify({ ...summary, dryRun }, null, 2));
  else printRows([summary], { empty: '' });
  if (dryRun) console.error('This was a dry run: nothing was added.');
  if (signal.aborted) console.error('The import was interrupted. Run it again to continue.');
  if (signal.aborted) process.exitCode = INTERRUPTED;
  else if (summary.rejected + summary.conflicts > 0) process.exitCode = 1;
}

/** Aborts on the first signal, such as that of Ctrl-C; the second one ends the process. */
function onInterrupt(): AbortSignal {
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => interrupt.abort());
  return interrupt.signal;
}

/** Opens a file before anything else starts, so that a missing one is reported first. */
async function openInput(
  file: string,
): Promise<{ input: Readable; size: number | undefined; bytesRead: () => number }> {
  if (file === '-') return { input: process.stdin, size: undefined, bytesRead: () => 0 };
  try {
    const stats = await stat(file);
    if (stats.isDirectory()) throw new Error('it is a directory');
    const input = createReadStream(file, { highWaterMark: 262_144 });
    await once(input, 'open');
    return { input, size: stats.isFile() ? stats.size : undefined, bytesRead: () => input.bytesRead };
  } catch (error) {
    throw new Error(`Cannot read ${file}: ${(error as Error).message}`);
  }
}

function formatOf(file: string): Format {
  const format = FORMATS[extname(file).toLowerCase()];
  if (!format)
    throw new Error(`The format of ${file} is not known by its extension: add --format ndjson or --format csv.`);
  return format;
}

async function firebaseProject(options: FirebaseOptions): Promise<FirebaseProject | undefined> {
  if (options.firebaseSignerKeyFile === undefined) return undefined;
  return {
    signerKey: base64((await readFile(options.firebaseSignerKeyFile, 'utf8')).trim()),
    saltSeparator: options.firebaseSaltSeparator,
    rounds: options.firebaseRounds,
    memCost: options.firebaseMemCost,
  };
}

function base64(text: string): Buffer {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) throw new InvalidArgumentError('It must be base64.');
  return Buffer.from(text, 'base64');
}

function positive(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1 to 99.');
  return Number(text);
}
