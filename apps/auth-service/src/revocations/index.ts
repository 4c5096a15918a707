import fp from 'fastify-plugin';
import feed from './feed.js';
import { revocationsRoute } from './feed-route.js';
import { deleteOldRevocations } from './stored-pages.js';

// After a mass sign-out there are many, and no index leads to them.
const BATCH = 10_000;
// After this long without a response of the database, verifiers are refused the feed.
const FRESH_WITHIN_MS = 5000;

/** The sessions that ended while access tokens of them live: refused here, and told to verifiers by the feed. */
export default fp(
  async app => {
    await app.register(feed);
    const { revocations, signingKeys } = app;
    app.refuseTokens(({ sid }) => revocations.has(sid));
    app.cleanHourly(async client => (await deleteOldRevocations(client, BATCH)) === BATCH);

    app.gauge('latchkey_revocations', 'Ended sessions that are told to verifiers', () => revocations.state().size);
    app.gauge(
      'latchkey_revocations_age_seconds',
      'Time since ended sessions were last read from the database',
      () => revocations.state().ageMs / 1000,
    );
    app.gauge(
      'latchkey_ready',
      'Whether it is not closing, tokens can be signed and the database has responded lately',
      () => Number(!app.isDraining() && signingKeys.isReady() && revocations.state().ageMs < FRESH_WITHIN_MS),
    );
    await app.register(revocationsRoute);
  },
  { name: 'revocations', dependencies: ['tokens', 'database', 'metrics', 'draining'] },
);
