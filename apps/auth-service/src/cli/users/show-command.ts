import { Command } from 'commander';
import { type AccountDetails, findAccount } from '../../accounts/details.js';
import { type Context, MissingError, withDatabase } from '../database.js';
import { plural } from '../doctor/finding.js';
import { printFields } from '../output.js';
import { describeHash } from '../passwords.js';
import { describeLockout, type Lockout, lockoutsOf, withLockouts } from './lockout.js';

/** `latchkey users show` */
export function showCommand(): Command {
  return new Command('show')
    .description(
      'show an account: its sessions, when it last signed in, how its password is hashed, its second factors and passkeys',
    )
    .argument('<username|address|id>')
    .option('--json', 'print JSON')
    .action((nameOrId: string, { json }: { json?: boolean }) =>
      withDatabase(async context => {
        const { db, config } = context;
        const account = await findAccount(db, nameOrId);
        if (!account) throw new MissingError(`There is no account ${nameOrId}.`);
        const { hashForm, disabledAt, sessions, lastSignInAt, factors, ...shown } = account;
        const hash = describeHash(hashForm, config);
        const password = json ? hash : hashToText(hash);
        const proofs = { password, factors: json ? factors : factorsToText(factors) };
        const failed = await readLockouts(context, account);
        const attempts = json ? failed : (failed?.map(describeLockout).join('; ') ?? 'unknown') || 'none';
        const fields = {
          ...{ ...shown, disabled: disabledAt !== null, disabledAt, sessions, lastSignInAt, ...proofs },
          failedAttempts: attempts,
        };
        printFields(fields, { ...(json && { json }) });
      }),
    );
}

/** `null` when the store of the throttles does not respond, or AUTH_SECRETS are not those of the service. */
async function readLockouts(context: Context, account: AccountDetails): Promise<Lockout[] | null> {
  const read = withLockouts(context, account, (lockouts, attempted) => lockouts.read(attempted));
  return read.then(lockoutsOf, () => null);
}

function hashToText({ scheme, cost, secret, state }: ReturnType<typeof describeHash>): string {
  const parts = [
    scheme,
    ...(cost === null ? [] : [`cost ${cost}`]),
    ...(secret === null ? [] : [`secret "${secret}"`]),
  ];
  return scheme === 'none' ? state : `${parts.join(', ')}: ${state}`;
}

function factorsToText({ totp, passkeys, recoveryCodes }: AccountDetails['factors']): string {
  if (!totp && passkeys === 0) return 'none';
  const parts = [
    ...(totp ? ['authenticator app'] : []),
    ...(passkeys > 0 ? [plural(passkeys, 'passkey')] : []),
    plural(recoveryCodes, 'recovery code'),
  ];
  return parts.join(', ');
}
