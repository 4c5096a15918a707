import { Command, InvalidArgumentError } from 'commander';
import { isMailAddress } from '../config/mail-address.js';
import { isUuid } from '../database/uuid.js';
import { listMails, queueMail, retryMails } from '../mail/queue.js';
import { MissingError, withDatabase } from './database.js';
import { parseLimit } from './events.js';
import { printRows } from './output.js';

type Json = { json?: boolean };

/** `latchkey mail …` */
export function mailCommands(): Command {
  const mail = new Command('mail').description('list the mails that wait or were given up, send them again, and test');

  mail
    .command('list')
    .description('list the mails of the queue, newest first; sent mails are not there any more')
    .option('--given-up', 'only mails that were given up', false)
    .option('--before <id>', 'only mails older than this one, for the next page', uuid)
    .option('--limit <number>', 'how many to list', parseLimit, 50)
    .option('--json', 'print JSON')
    .action(({ givenUp, before, limit, json }: Json & { givenUp: boolean; before?: string; limit: number }) =>
      withDatabase(async ({ db }) => {
        const mails = await listMails(db, { before, isGivenUp: givenUp, limit });
        printRows(mails, { ...(json && { json }), empty: 'There are no mails.' });
      }),
    );

  mail
    .command('retry')
    .description('make a mail due now, and try it for another day')
    .argument('[id]', 'id of the mail', uuid)
    .option('--all', 'all mails that were given up', false)
    .option('--json', 'print JSON')
    .action(async (id: string | undefined, { all, json }: Json & { all: boolean }) => {
      if ((id === undefined) !== all) throw new Error('Name a mail, or give --all.');
      const retried = await withDatabase(({ db, origin }) => retryMails(db, id, origin));
      if (id !== undefined && retried === 0) throw new MissingError(`There is no mail ${id}: it was sent, or deleted.`);
      if (json) console.log(JSON.stringify({ retried }, null, 2));
      else console.error(`${retried} ${retried === 1 ? 'mail is' : 'mails are'} due now.`);
    });

  mail
    .command('test')
    .description('queue a test mail to each address; a running service sends it')
    .argument('<address...>')
    .option('--json', 'print JSON')
    .action(async (addresses: string[], { json }: Json) => {
      const bad = addresses.find(address => !isMailAddress(address));
      if (bad !== undefined) throw new Error(`"${bad}" is not a mail address.`);
      await withDatabase(async ({ db, config: { mail, production, authSecrets } }) => {
        if (!mail.smtp && production) throw new Error('The service sends no mails: set SMTP_URL and MAIL_FROM.');
        const values = { at: new Date().toISOString() };
        for (const to of addresses) await queueMail(db, authSecrets[0], { template: 'test', values, to });
      });
      if (json) console.log(JSON.stringify({ queued: addresses.length }, null, 2));
      else console.error('Queued. "latchkey mail list" shows it until it was sent.');
    });

  return mail;
}

function uuid(text: string): string {
  if (!isUuid(text)) throw new InvalidArgumentError('It must be an id of "latchkey mail list".');
  return text;
}
