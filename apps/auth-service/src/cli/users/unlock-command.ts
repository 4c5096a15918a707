import { Command } from 'commander';
import { findAccount } from '../../accounts/details.js';
import { recordEvent } from '../../events/recorder.js';
import { MissingError, withDatabase } from '../database.js';
import { describeLockout, lockoutsOf, withLockouts } from './lockout.js';

/** `latchkey users unlock` */
export function unlockCommand(): Command {
  return new Command('unlock')
    .description(
      'forgive the failed attempts that lock an account: wrong passwords, and codes of its authenticator app',
    )
    .argument('<username|address|id>')
    .option('--json', 'print JSON')
    .action((nameOrId: string, { json }: { json?: boolean }) =>
      withDatabase(async context => {
        const { db, origin } = context;
        const account = await findAccount(db, nameOrId);
        if (!account) throw new MissingError(`There is no account ${nameOrId}.`);
        const counted = await withLockouts(context, account, (lockouts, attempted) => lockouts.forgive(attempted));
        const forgiven = lockoutsOf(counted);
        const { id, username } = account;
        if (counted.length > 0)
          await recordEvent(db, origin, 'user_unlocked', { userId: id, details: { counters: counted.length } });
        if (json) return console.log(JSON.stringify({ id, username, changed: counted.length > 0, forgiven }, null, 2));
        const store = context.config.redisUrl === undefined ? 'PostgreSQL' : 'Redis';
        // A service with REDIS_URL counts there.
        if (counted.length === 0)
          return console.error(`No failed attempts lock the account ${username}, as ${store} has counted them.`);
        for (const lockout of forgiven) console.error(`Forgiven: ${describeLockout(lockout)}.`);
        console.error('Replicas notice within 5 seconds. Addresses that are blocked for all accounts stay so.');
      }),
    );
}
