import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { FirebaseProject } from '../../credentials/password/foreign-hashes/scrypt.js';
import { withConnection } from '../database.js';
import { printRows } from '../output.js';
import { showProgress } from '../progress.js';
import { COLUMNS } from '../transfer/account-row.js';
import { importAccounts } from '../transfer/import-accounts.js';
import { type Format, readRows } from '../transfer/rows.js';
import { SOURCES, type Source } from '../transfer/sources.js';
import { formatOf, formatOption, onInterrupt } from './transfer-options.js';

type FirebaseOptions = {
  firebaseSignerKeyFile?: string;
  firebaseSaltSeparator: Buffer;
  firebaseRounds: number;
  firebaseMemCost: number;
};
type ImportCommandOptions = FirebaseOptions & { format?: Format; from?: string; dryRun?: boolean; json?: boolean };

const INTERRUPTED = 130;

/** `latchkey users import` */
export function importCommand(): Command {
  return new Command('import')
    .description('add the accounts of a file; existing accounts are not changed')
    .argument(
      '<file>',
      'NDJSON or CSV file, or - for standard input; members: username, passwordHash, id?, email? (verified), createdAt?, disabled?',
    )
    .addOption(formatOption())
    .addOption(
      new Option(
        '--from <software>',
        `the file is an export of other software: ${Object.entries(SOURCES)
          .map(([name, { about }]) => `${name} (${about})`)
          .join(', ')}`,
      ).choices(Object.keys(SOURCES)),
    )
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
}

async function runImport(file: string, options: ImportCommandOptions): Promise<void> {
  const { dryRun = false, json } = options;
  const format = options.format ?? (file === '-' ? 'ndjson' : formatOfImport(file, options.from));
  const firebase = await firebaseProject(options);
  const source = SOURCES[options.from ?? ''];
  const { input, size, bytesRead } = await openInput(file);
  const signal = onInterrupt();
  const progress = showProgress(size);
  let secondFactors = 0;
  const translate = (row: Record<string, unknown>, { read, hasSecondFactor }: Source) => {
    if (hasSecondFactor?.(row)) secondFactors++;
    return read(row);
  };
  const summary = await withConnection(({ db, config: { authSecrets, bcryptCost }, origin }) =>
    importAccounts(db, readRows(input, format, source ? undefined : COLUMNS), origin, {
      reading: {
        ...{ secretIds: authSecrets.map(({ id }) => id), bcryptCost },
        ...(firebase && { firebase }),
        ...(source && { translate: row => translate(row, source) }),
      },
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
  if (secondFactors > 0) {
    console.error(
      `${secondFactors} of these accounts have a second factor there, which is not imported: the password alone will sign in to them.`,
    );
  }
  if (json) console.log(JSON.stringify({ ...summary, ...(source && { secondFactors }), dryRun }, null, 2));
  else printRows([summary], { empty: '' });
  if (dryRun) console.error('This was a dry run: nothing was added.');
  if (signal.aborted) console.error('The import was interrupted. Run it again to continue.');
  if (signal.aborted) process.exitCode = INTERRUPTED;
  else if (summary.rejected + summary.conflicts > 0) process.exitCode = 1;
}

/** Finds the format of a file that is imported; says how to make rows of one that is a JSON document. */
function formatOfImport(file: string, from: string | undefined): Format {
  if (extname(file).toLowerCase() !== '.json') return formatOf(file);
  const command = `latchkey users import -${from === undefined ? '' : ` --from ${from}`}`;
  throw new Error(
    `${file} is one JSON document by its name, and rows are needed: jq -c '${from === 'keycloak' ? '.users[]' : '.[]'}' ${file} | ${command}`,
  );
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
