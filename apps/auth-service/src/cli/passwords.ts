import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import type { Config } from '../config/settings.js';
import { LEAST_COST, measureHash } from '../credentials/password/measure.js';
import { readForm } from '../credentials/password/stored-hash.js';
import { countForms, readHashForms } from '../credentials/password/stored-passwords.js';
import { withDatabase } from './database.js';
import { printRows } from './output.js';
import { showProgress } from './progress.js';

type Json = { json?: boolean };
type Measured = { cost: number; medianMs: number };

const MAX_COST = 20;
const FIRST_COST = 8;
const SAMPLES = 5;

/** `latchkey passwords …` */
export function passwordCommands(): Command {
  const passwords = new Command('passwords').description('measure and report how passwords are hashed');

  passwords
    .command('calibrate')
    .description('measure bcrypt on this machine and propose a BCRYPT_COST')
    .option('--budget <ms>', 'how long one hash may take, in milliseconds', milliseconds, 250)
    .option('--json', 'print JSON')
    .action(async ({ budget, json }: Json & { budget: number }) => {
      const measured = await measureCosts(budget);
      const cores = availableParallelism();
      const rows = measured.map(row => ({ ...row, signInsPerSecond: round((cores * 1000) / row.medianMs) }));
      const within = rows.findLast(({ medianMs }) => medianMs <= budget)?.cost ?? 0;
      const bcryptCost = Math.max(within, LEAST_COST);
      const chosen = rows.find(({ cost }) => cost === bcryptCost);
      if (json) console.log(JSON.stringify({ bcryptCost, budgetMs: budget, cores, measured: rows }, null, 2));
      else printRows(rows, { empty: '' });
      const rate = `${chosen?.medianMs} ms a hash, ${chosen?.signInsPerSecond} sign-ins/s on ${cores} cores`;
      console.error(`BCRYPT_COST=${bcryptCost}: ${rate}.`);
      if (bcryptCost > within)
        console.error(`That is over the budget of ${budget} ms, but a cost below ${LEAST_COST} is not safe.`);
    });

  passwords
    .command('report')
    .description('count the accounts by scheme, cost and secret of their password hashes')
    .option('--json', 'print JSON')
    .action(({ json }: Json) =>
      withDatabase(async ({ db, config }) => {
        while (await readHashForms(db));
        const rows = (await countForms(db)).map(({ form, accounts }) => {
          const { state, ...hash } = describeHash(form, config);
          return { ...hash, accounts, state };
        });
        printRows(rows, { ...(json && { json }), empty: 'There are no accounts.' });
      }),
    );

  return passwords;
}

/** Measures rising costs, one after the other, until a hash takes longer than the budget. */
async function measureCosts(budgetMs: number): Promise<Measured[]> {
  const progress = showProgress(MAX_COST - FIRST_COST);
  const measured: Measured[] = [];
  measureHash(FIRST_COST, 1);
  for (let cost = FIRST_COST; cost <= MAX_COST; cost += 1) {
    progress.update(cost - FIRST_COST, `cost ${cost}`);
    // Lets the terminal draw the progress before the hash blocks this thread.
    await setImmediate();
    const medianMs = round(measureHash(cost, SAMPLES));
    measured.push({ cost, medianMs });
    if (medianMs > budgetMs && cost >= LEAST_COST) break;
  }
  progress.stop();
  return measured;
}

/** What the form of a hash says, and whether an account with that hash can sign in; see `formOf`. `null`: it has no password. */
export function describeHash(form: string | null, { authSecrets, bcryptCost }: Config) {
  const hasHash = form !== null;
  const found = hasHash ? readForm(form) : undefined;
  const { scheme = hasHash ? 'unknown' : 'none', cost = null, pepperId = null, excess } = found ?? {};
  const known = authSecrets.map(({ id }) => id);
  const state = () => {
    if (!hasHash) return 'no password';
    if (!found || excess) return 'cannot sign in: unknown form';
    if (pepperId !== null && !known.includes(pepperId)) return `cannot sign in: needs the secret "${pepperId}"`;
    const isCurrent = pepperId === known[0] && Number(cost) >= bcryptCost;
    return isCurrent ? 'current' : 'outdated: hashed again at the next sign-in';
  };
  return { scheme, cost, secret: pepperId, state: state() };
}

const round = (value: number) => Number(value.toPrecision(3));

function milliseconds(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of milliseconds.');
  return Number(text);
}
