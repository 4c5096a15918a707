import { createVerifier } from '@latchkey/auth-client';
import { type Part, percentile, progress, round } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, setStage, signUp } from '../stage.js';

const DEFAULT_COUNT = 300;
const GIVE_UP_MS = 10_000;

/** From a sign-out at one replica to its token being refused by a verifier that follows another. */
export const signOut: Part = async ({ count = DEFAULT_COUNT }) => {
  const stage = await setStage();
  const [near, far] = [await stage.start(), await stage.start()];
  const verifier = createVerifier({
    issuer: ISSUER,
    audience: AUDIENCE,
    baseUrl: far.url,
    client: await stage.newClient(),
  });
  try {
    const client = clientOf(near);
    const delays: number[] = [];
    let never = 0;
    for (let index = 0; index < count; index++) {
      const { token } = await signUp(client);
      await verifier.verify(token);
      const before = performance.now();
      await client.signOut(token);
      const refused = await untilRefused(() => verifier.verify(token));
      if (refused) delays.push(performance.now() - before);
      else never++;
      progress(`sign-outs: ${index + 1} of ${count}`);
    }
    progress('');
    const [p50, p99, max] = [50, 99, 100].map(p => round(percentile(delays, p), 1));
    const reference = `${count} sign-outs`;
    return {
      title: 'Sign-out to refusal at an offline verifier',
      rows: [
        { what: 'p50, ms', measured: p50 as number, reference, promise: '' },
        { what: 'p99, ms', measured: p99 as number, reference, promise: '< 1000' },
        { what: 'max, ms', measured: max as number, reference, promise: '' },
        { what: 'never refused', measured: never, reference, promise: '0', broken: never > 0 },
      ],
    };
  } finally {
    verifier.close();
    await stage.stop();
  }
};

async function untilRefused(verify: () => Promise<unknown>): Promise<boolean> {
  const deadline = performance.now() + GIVE_UP_MS;
  while (performance.now() < deadline) {
    const isAccepted = await verify().then(
      () => true,
      () => false,
    );
    if (!isAccepted) return true;
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  return false;
}
