import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuthClient, isAuthClientError } from '@latchkey/auth-client';
import type { Server } from '../processes.js';
import { type Part, progress, type Row } from '../report.js';
import { clientOf, setStage } from '../stage.js';

const REPLICAS = 3;
const USES = 100;
const DEFAULT_COUNT = 100;
const MAIL_WITHIN_MS = 10_000;

/** Uses of the link of one mail that race, over several replicas: of an address that is verified, and of a password that is reset. */
export const links: Part = async ({ count = DEFAULT_COUNT }) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-links-'));
  const stage = await setStage({
    ...{ NODE_ENV: 'development', DATA_DIR: dataDir, PUBLIC_URL: 'http://localhost', LOG_LEVEL: 'fatal' },
    // A hundred hashes at once, most of them for nothing.
    HASH_MAX_WAIT_MS: '8000',
  });
  try {
    const servers = await Promise.all(Array.from({ length: REPLICAS }, () => stage.start()));
    const [first] = servers as [Server];
    const clients = servers.map(clientOf) as [AuthClient, ...AuthClient[]];
    const password = 'open sesame 42';
    const winners: Record<'verified' | 'reset', number[]> = { verified: [], reset: [] };
    for (let round = 0; round < count; round++) {
      const username = `links-${round}`;
      const email = `${username}@example.com`;
      await clients[0].signUp({ username, password, email });
      const verifying = await tokenFor(first, email, 'verify-email');
      winners.verified.push(await winnersOf(clients, client => client.verifyEmail({ token: verifying })));
      await clients[0].requestPasswordReset({ email });
      const token = await tokenFor(first, email, 'reset-password');
      const reset = (client: AuthClient, i: number) =>
        client.resetPassword({ token, newPassword: `${password} and ${i}` });
      winners.reset.push(await winnersOf(clients, reset));
      progress(`links: ${round + 1} of ${count}`);
    }
    progress('');
    const rows = Object.entries(winners).map(([what, counts]): Row => {
      const wrong = counts.filter(winning => winning !== 1).length;
      return {
        what: `links ${what === 'reset' ? 'that reset a password' : 'that verify an address'} without just one use`,
        measured: wrong,
        reference: `${count} links, ${USES} uses at once each`,
        promise: '0',
        broken: wrong > 0,
      };
    });
    return { title: `Links on ${REPLICAS} replicas`, rows };
  } finally {
    await stage.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
};

/** How many of the uses succeed; what a busy replica refuses is no use. */
async function winnersOf(
  clients: AuthClient[],
  use: (client: AuthClient, i: number) => Promise<unknown>,
): Promise<number> {
  const outcomes = await Promise.all(
    Array.from({ length: USES }, (_, i) =>
      use(clients[i % clients.length] as AuthClient, i).then(
        () => true,
        error => {
          if (isAuthClientError(error)) return false;
          throw error;
        },
      ),
    ),
  );
  return outcomes.filter(Boolean).length;
}

type Mail = { to: string; template: string; values: { link?: string } };

/** Waits for a mail in the development mailbox; resolves to the token of its link. */
async function tokenFor({ url }: Server, email: string, template: string): Promise<string> {
  const deadline = performance.now() + MAIL_WITHIN_MS;
  while (performance.now() < deadline) {
    const response = await fetch(`${url}/dev/mailbox`, { headers: { accept: 'application/json' } });
    const mails = (await response.json()) as Mail[];
    const token = mails
      .find(mail => mail.to === email && mail.template === template)
      ?.values.link?.split('#token=')
      .at(1);
    if (token !== undefined) return token;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error(`No mail ${template} came.`);
}
