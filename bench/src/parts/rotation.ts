import { createVerifier, isAuthClientError } from '@latchkey/auth-client';
import { type Part, progress } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, setStage, signUp } from '../stage.js';

const REPLICAS = 3;
const WORKERS = 12;
const DEFAULT_SECONDS = 30;
const LEAD_S = 2;
const ROTATE_EVERY_MS = 5000;

/** Keys rotate under load; every token that lives is good at every replica and every verifier. */
export const rotation: Part = async ({ seconds = DEFAULT_SECONDS }) => {
  // An offline verifier that does not follow the feed keeps keys for 5 minutes, and so needs the lead that is the
  // default. These follow it, as services do that have a client.
  const stage = await setStage();
  const servers = await Promise.all(Array.from({ length: REPLICAS }, () => stage.start()));
  const client = await stage.newClient();
  const verifiers = servers.map(({ url: baseUrl }) =>
    createVerifier({ issuer: ISSUER, audience: AUDIENCE, baseUrl, client }),
  );
  try {
    const clients = servers.map(clientOf);
    const end = performance.now() + seconds * 1000;
    const kids = new Set<string>();
    let checks = 0;
    let rejected = 0;
    const check = async (call: Promise<unknown>) => {
      checks++;
      await call.catch(() => rejected++);
    };
    const work = async (worker: number) => {
      let session = await signUp(clients[worker % REPLICAS] as (typeof clients)[0]);
      const first = session.token;
      for (let round = worker; performance.now() < end; round++) {
        const replica = clients[round % REPLICAS] as (typeof clients)[0];
        session = await replica.refresh(session.refreshToken);
        kids.add(session.token.slice(0, session.token.indexOf('.')));
        // The newest token, and the oldest: its key may have retired several times over.
        const tokens = [session.token, first];
        await Promise.all(tokens.flatMap(token => verifiers.map(verifier => check(verifier.verify(token)))));
        await Promise.all(clients.map(replica => check(replica.me(session.token))));
      }
    };
    const rotate = async () => {
      let rotations = 0;
      while (performance.now() + ROTATE_EVERY_MS < end) {
        await stage.latchkey('keys', 'rotate', '--lead', String(LEAD_S));
        rotations++;
        progress(`rotations: ${rotations}`);
        await new Promise(resolve => setTimeout(resolve, ROTATE_EVERY_MS));
      }
      return rotations;
    };
    const [rotations] = await Promise.all([rotate(), ...Array.from({ length: WORKERS }, (_, i) => work(i))]).catch(
      error => {
        if (isAuthClientError(error)) rejected++;
        throw error;
      },
    );
    progress('');
    return {
      title: `Rotation on ${REPLICAS} replicas`,
      rows: [
        {
          what: 'live tokens rejected',
          measured: rejected,
          reference: `${checks} checks, ${rotations} rotations, ${kids.size} keys seen`,
          promise: '0',
          broken: rejected > 0 || kids.size < 2,
        },
      ],
    };
  } finally {
    for (const verifier of verifiers) verifier.close();
    await stage.stop();
  }
};
