import fp from 'fastify-plugin';
import feed, { STALE_AFTER_MS } from './feed.js';
import { revocationsRoute } from './feed-route.js';
import { deleteOldRevocations } from './stored-pages.js';

// After a mass sign-out there are many, and each batch scans the table, which has no index on the expiry.
const BATCH = 10_000;

/** The sessions that ended while access tokens of them live: this service refuses their tokens, and verifiers read the feed. */
export default fp(
  async app => {
    await app.register(feed);
    const { revocations, signingKeys } = app;
    app.refuseTokens(({ sid }) => revocations.has(sid));
    app.cleanHourly(async client => (await deleteOldRevocations(client, BATCH)) === BATCH);

    app.gauge('latchkey_revocations', () => revocations.state().size);
    app.gauge('latchkey_revocations_age_seconds', () => revocations.state().ageMs / 1000);
    app.gauge('latchkey_ready', () =>
      Number(!app.isDraining() && signingKeys.isReady() && revocations.state().ageMs < STALE_AFTER_MS),
    );
    await app.register(revocationsRoute);
  },
  { name: 'revocations', dependencies: ['tokens', 'database', 'metrics', 'draining'] },
);
