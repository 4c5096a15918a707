import { createVerifier, type Verifier } from '@latchkey/auth-client';
import getPort from 'get-port';
import { type Part, progress, round } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, setStage, signUp } from '../stage.js';

const DEFAULT_OUTAGE_S = 30;
const CHECK_EVERY_MS = 5;

/** Auth-service and database are away; one verifier was told to go on for ever, one for half of that time. */
export const outage: Part = async ({ outage: seconds = DEFAULT_OUTAGE_S }) => {
  const ttl = String(seconds * 2 + 600);
  const stage = await setStage({ ACCESS_TOKEN_TTL_S: ttl, PORT: String(await getPort({ host: '127.0.0.1' })) });
  const maxStalenessMs = (seconds * 1000) / 2;
  const verifiers: Verifier[] = [];
  try {
    const server = await stage.start();
    const options = {
      issuer: ISSUER,
      audience: AUDIENCE,
      baseUrl: server.url,
      client: await stage.newClient(),
      maxStalenessMs,
    };
    const open = createVerifier({ ...options, onStale: 'open' });
    const closed = createVerifier({ ...options, onStale: 'closed' });
    verifiers.push(open, closed);
    const { token } = await signUp(clientOf(server));
    const fails = (verifier: Verifier) =>
      verifier.verify(token).then(
        () => 0,
        () => 1,
      );
    await Promise.all(verifiers.map(fails));

    server.child.kill('SIGKILL');
    await stage.postgres.stop();
    const since = performance.now();
    let checks = 0;
    let openErrors = 0;
    let closedErrors = 0;
    let closedFrom: number | undefined;
    for (let passed = 0; passed < seconds * 1000; passed = performance.now() - since) {
      openErrors += await fails(open);
      const failed = await fails(closed);
      if (failed) closedFrom ??= passed;
      // What was known when everything stopped is a moment old, so a moment early is right.
      if (failed && passed < maxStalenessMs - 1000) closedErrors++;
      checks++;
      progress(`away for ${Math.round(passed / 1000)} of ${seconds} s`);
      await new Promise(resolve => setTimeout(resolve, CHECK_EVERY_MS));
    }
    progress('');
    const reference = `${checks} checks in ${seconds} s`;
    const closedAfter = closedFrom === undefined ? 'never' : round(closedFrom / 1000, 1);
    return {
      title: 'Auth-service and PostgreSQL are away',
      rows: [
        { what: 'errors, onStale "open"', measured: openErrors, reference, promise: '0', broken: openErrors > 0 },
        {
          what: 'errors before the staleness, "closed"',
          measured: closedErrors,
          reference,
          promise: '0',
          broken: closedErrors > 0,
        },
        {
          what: '"closed" refuses after, s',
          measured: closedAfter,
          // Too early is an error of the row above.
          promise: `≤ ${maxStalenessMs / 1000 + 1}`,
          broken: closedFrom === undefined,
        },
      ],
    };
  } finally {
    for (const verifier of verifiers) verifier.close();
    await stage.stop();
  }
};
