import { Command, InvalidArgumentError } from 'commander';
import { listEvents } from '../events/trail.js';
import { withDatabase } from './database.js';
import { printRows } from './output.js';

const MAX_LIMIT = 10_000;

/** `latchkey events` */
export function eventsCommand(): Command {
  return new Command('events')
    .description('the latest audit events, the newest first')
    .option('--user <name>', 'of one account only')
    .option('--limit <number>', 'how many', limit, 50)
    .option('--json', 'print JSON')
    .action(({ json, ...which }: { json?: boolean; user?: string; limit: number }) =>
      withDatabase(async ({ db }) => {
        printRows(await listEvents(db, which), { ...(json && { json }), empty: 'There are no events.' });
      }),
    );
}

function limit(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= MAX_LIMIT) return number;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_LIMIT}.`);
}
