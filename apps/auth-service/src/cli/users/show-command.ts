import { Command } from 'commander';
import { findAccount } from '../../accounts/details.js';
import { withDatabase } from '../database.js';
import { printFields } from '../output.js';
import { describeHash } from '../passwords.js';

/** `latchkey users show` */
export function showCommand(): Command {
  return new Command('show')
    .description('show an account: its sessions, how its password is hashed, when it last signed in')
    .argument('<username|address|id>')
    .option('--json', 'print JSON')
    .action((nameOrId: string, { json }: { json?: boolean }) =>
      withDatabase(async ({ db, config }) => {
        const account = await findAccount(db, nameOrId);
        if (!account) throw new Error(`There is no account ${nameOrId}.`);
        const { hashForm, disabledAt, sessions, lastSignInAt, ...shown } = account;
        const hash = describeHash(hashForm, config);
        const password = json ? hash : hashToText(hash);
        const fields = { ...shown, disabled: disabledAt !== null, disabledAt, sessions, lastSignInAt, password };
        printFields(fields, { ...(json && { json }) });
      }),
    );
}

function hashToText({ scheme, cost, secret, state }: ReturnType<typeof describeHash>): string {
  const parts = [
    scheme,
    ...(cost === null ? [] : [`cost ${cost}`]),
    ...(secret === null ? [] : [`secret "${secret}"`]),
  ];
  return scheme === 'none' ? state : `${parts.join(', ')}: ${state}`;
}
