import { createVerifier, type SignedIn, type Verifier } from '@latchkey/auth-client';
import { never, type Part, progress, type Row, round } from '../report.js';
import { AUDIENCE, clientOf, forEach, ISSUER, setStage, signUp, startPostgres } from '../stage.js';
import { call, sleep, waitUntil } from './calls.js';

const PEOPLE = 20;
const AT_ONCE = 5;
// How long after the database answers again an ended session may still pass.
const KNOWN_WITHIN_MS = 5000;

/** The database is set back to a backup, again and again; what has ended since remains ended, and so does what ends then. */
export const restore: Part = async ({ quick = false, rounds = quick ? 2 : 10 }) => {
  const postgres = await startPostgres({ durable: true });
  const stage = await setStage({}, postgres);
  const verifiers: Verifier[] = [];
  try {
    const replicas = [await stage.start(), await stage.start()];
    const [first] = replicas.map(clientOf) as [ReturnType<typeof clientOf>];
    for (const { url } of replicas) {
      const options = { issuer: ISSUER, audience: AUDIENCE, baseUrl: url, client: await stage.newClient() };
      verifiers.push(createVerifier(options));
    }
    const isReady = async () =>
      (await Promise.all(replicas.map(({ url }) => call(`${url}/readyz`)))).every(({ status }) => status === 200);
    const signUpAll = async (): Promise<SignedIn[]> => {
      const people: SignedIn[] = [];
      await forEach(PEOPLE, AT_ONCE, async () => void people.push(await signUp(first)));
      return people;
    };
    const signOutAll = (people: SignedIn[]) =>
      forEach(people.length, AT_ONCE, index => first.signOut((people[index] as SignedIn).token));

    /** Who still passes, at any replica or verifier. */
    const accepted = async (people: SignedIn[]): Promise<number> => {
      const checks = people.flatMap(({ token }) => [
        ...replicas.map(async ({ url }) => (await call(`${url}/auth/verify`, { token })).status === 200),
        ...verifiers.map(verifier =>
          verifier.verify(token).then(
            () => true,
            () => false,
          ),
        ),
      ]);
      return (await Promise.all(checks)).filter(Boolean).length;
    };

    const counts = { forgotten: 0, missed: 0, alive: 0, refreshed: 0, checks: 0 };
    const waits: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      progress(`restore ${round} of ${rounds}`);
      const before = await signUpAll();
      const setBack = await postgres.backUp();
      await waitUntil('the database is back after the backup', isReady);
      const after = await signUpAll();
      await signOutAll([...before, ...after]);
      await waitUntil('all know', async () => (await accepted([...before, ...after])) === 0);

      await setBack();
      const backAt = performance.now();
      await waitUntil('the database is back after the restore', isReady);
      const late = await signUpAll();
      await signOutAll(late.slice(0, PEOPLE / 2));
      const [ended, live] = [late.slice(0, PEOPLE / 2), late.slice(PEOPLE / 2)];
      await waitUntil('all know', async () => (await accepted(ended)) === 0, KNOWN_WITHIN_MS).catch(() => undefined);
      waits.push(performance.now() - backAt);
      await sleep(Math.max(0, backAt + KNOWN_WITHIN_MS - performance.now()));
      counts.forgotten += await accepted([...before, ...after]);
      counts.missed += await accepted(ended);
      counts.alive += live.length * (replicas.length + verifiers.length) - (await accepted(live));
      counts.checks += (before.length + after.length + late.length) * (replicas.length + verifiers.length);
      for (const { refreshToken } of [...before, ...after]) {
        const { status } = await call(`${replicas[1]?.url}/auth/refresh`, { body: { refreshToken } });
        if (status === 200) counts.refreshed++;
      }
    }
    progress('');
    const reference = `${counts.checks} checks at 2 replicas and 2 verifiers`;
    const rows: Row[] = [
      never('accepted 5 s later: sessions that ended between backup and restore', counts.forgotten, reference),
      never('accepted 5 s later: sessions that ended after the restore', counts.missed),
      never('refreshed: sessions that ended between backup and restore', counts.refreshed),
      never('refused: sessions that are live', counts.alive),
      {
        what: 'longest from the database answering to new sign-outs known everywhere, s',
        measured: round(Math.max(...waits) / 1000, 2),
        promise: '≤ 5',
      },
    ];
    return { title: `The database is set back to a backup, ${rounds} times`, rows };
  } finally {
    for (const verifier of verifiers) verifier.close();
    await stage.stop();
  }
};
