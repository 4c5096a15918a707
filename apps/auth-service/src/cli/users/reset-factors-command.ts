import { Command } from 'commander';
import { findAccount } from '../../accounts/details.js';
import { resetFactors } from '../../credentials/reset-factors.js';
import { MissingError, withDatabase } from '../database.js';
import { plural } from '../doctor/finding.js';

/** `latchkey users reset-factors` */
export function resetFactorsCommand(): Command {
  return new Command('reset-factors')
    .description(
      'remove the authenticator app, recovery codes and passkeys of an owner who has lost them; the sessions of the account end',
    )
    .argument('<username|address|id>')
    .option('--json', 'print JSON')
    .action((nameOrId: string, { json }: { json?: boolean }) =>
      withDatabase(async ({ db, origin }) => {
        const account = await findAccount(db, nameOrId);
        if (!account) throw new MissingError(`There is no account ${nameOrId}.`);
        const { id, username, factors, hashForm } = account;
        const changed = factors.totp || factors.passkeys > 0;
        const reset = changed ? await resetFactors(db, id, origin) : undefined;
        const ended = reset?.ended ?? 0;
        if (json)
          return console.log(JSON.stringify({ id, username, changed, ...factors, endedSessions: ended }, null, 2));
        if (!changed) return console.error(`The account ${username} had no second factor and no passkey.`);
        console.error(
          `The account ${username} has no second factor and no passkey now; ${plural(ended, 'live session')} ended.`,
        );
        if (hashForm === null) console.error('It has no password either: make a link with latchkey users reset-link.');
      }),
    );
}
