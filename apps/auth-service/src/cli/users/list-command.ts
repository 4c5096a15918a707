import { Command, InvalidArgumentError } from 'commander';
import { listAccounts } from '../../accounts/list.js';
import { isUuid } from '../../database/uuid.js';
import { withDatabase } from '../database.js';
import { parseLimit } from '../events.js';
import { printRows } from '../output.js';

type Options = { query?: string; disabled: boolean; after?: string; limit: number; json?: boolean };

/** `latchkey users list` */
export function listCommand(): Command {
  return new Command('list')
    .description('list accounts, newest first')
    .option('--query <prefix>', 'only accounts whose usernames begin so, in whatever case')
    .option('--disabled', 'only disabled accounts', false)
    .option('--after <id>', 'only accounts after this one, for the next page', parseId)
    .option('--limit <number>', 'how many to list', parseLimit, 50)
    .option('--json', 'print JSON: {accounts, next?}, where next is the --after of the next page')
    .action(async ({ query, disabled, after, limit, json }: Options) => {
      const page = await withDatabase(({ db }) =>
        listAccounts(db, { prefix: query, isDisabled: disabled }, { after, limit }),
      );
      if (json) return console.log(JSON.stringify(page, null, 2));
      printRows(page.accounts, { empty: 'There are no accounts.' });
      if (page.next) console.error(`There are more: add --after ${page.next}`);
    });
}

function parseId(text: string): string {
  if (isUuid(text)) return text;
  throw new InvalidArgumentError('It must be an id of "latchkey users list".');
}
