import { isClientSecret } from './secret.js';
import type { StoredClient } from './stored-clients.js';

/** What a client is wanted to be; what is not given may be anything. */
export type WantedClient = { id: string; secret?: string; scopes?: string[] };

/** Says in what a stored client differs from the one that is wanted, and how to change that. Tells no secret. */
export function findDifferences(known: StoredClient, { id, secret, scopes }: WantedClient): string[] {
  const differences: string[] = [];
  if (secret !== undefined && !isClientSecret(secret, known.secretHashes)) {
    differences.push(`It has another secret. Give it this one with: latchkey clients rotate ${id} --secret-file FILE`);
  }
  if (scopes !== undefined && sorted(scopes) !== sorted(known.scopes)) {
    const add = scopes.filter(scope => !known.scopes.includes(scope)).map(scope => ` --add ${scope}`);
    const remove = known.scopes.filter(scope => !scopes.includes(scope)).map(scope => ` --remove ${scope}`);
    differences.push(
      `It has the scopes "${known.scopes.join(' ')}", not "${scopes.join(' ')}". Give it these with: ` +
        `latchkey clients scopes ${id}${[...add, ...remove].join('')}`,
    );
  }
  return differences;
}

function sorted(scopes: string[]): string {
  return [...scopes].sort().join(' ');
}
