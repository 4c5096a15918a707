import { Command, InvalidArgumentError } from 'commander';
import { findPassword } from '../credentials/password/stored-passwords.js';
import { listEvents } from '../events/trail.js';
import { MissingError, withDatabase } from './database.js';
import { printRows } from './output.js';

const MAX_LIMIT = 10_000;

/** `latchkey events` */
export function eventsCommand(): Command {
  return new Command('events')
    .description('list the latest audit events, newest first; with --json also by which request and browser')
    .option('--user <name>', 'only events of this account')
    .option('--limit <number>', 'how many to list', parseLimit, 50)
    .option('--json', 'print JSON')
    .action(({ json, user, limit }: { json?: boolean; user?: string; limit: number }) =>
      withDatabase(async ({ db }) => {
        const account = user === undefined ? undefined : await findPassword(db, user);
        if (user !== undefined && !account) throw new MissingError(`There is no account ${user}.`);
        const events = await listEvents(db, { accountId: account?.id, limit });
        // The widest columns, for programs.
        const rows = json ? events : events.map(({ requestId: _request, userAgent: _browser, ...shown }) => shown);
        printRows(rows, { ...(json && { json }), empty: 'There are no events.' });
      }),
    );
}

/** Parses how many rows to list. */
export function parseLimit(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= MAX_LIMIT) return number;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_LIMIT}.`);
}
