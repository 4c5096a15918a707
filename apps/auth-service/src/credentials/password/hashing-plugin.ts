import { availableParallelism } from 'node:os';
import { addressOf, foldAddress, toProblem } from '@latchkey/service-kit/http';
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { PasswordSettings } from '../../config/sections/passwords.js';
import type { SecretsSettings } from '../../config/sections/secrets.js';
import { untilGone } from '../../http/caller-gone.js';
import { createHashLane, type HashCaller, type HashLane } from './hash-lane.js';
import { createPasswords, type Passwords } from './passwords.js';
import { findHighestCost, readHashForms } from './stored-passwords.js';
import type { Owner } from './turns.js';

declare module 'fastify' {
  interface FastifyInstance {
    passwords: Passwords;
    hashLane: HashLane;
    /**
     * Makes a hook that refuses a caller for whom there is no room, before anything is done for it. Without `accountOf` it
     * knows the address alone: ask again when the body is read.
     */
    admitHash(accountOf?: (request: FastifyRequest) => string): onRequestHookHandler;
  }
}

const OVERLOADED = { status: 503, code: 'service_unavailable', detail: 'Try again shortly.' } as const;
const COSTS_EVERY_MS = 60_000;

/** Hashes and verifies passwords, in threads of their own: `app.passwords`. */
export default fp<{ config: PasswordSettings & SecretsSettings }>(
  async (app, { config }) => {
    const workers = config.hashWorkers ?? availableParallelism();
    const onStart = (waitedMs: number) => app.observe('latchkey_hash_wait_seconds', waitedMs / 1000);
    const lane = createHashLane({ workers, nice: config.hashNice, maxWaitMs: config.hashMaxWaitMs, onStart });
    // No request waits for a hash any more by then.
    app.addHook('onClose', () => lane.close());
    if (process.platform !== 'linux') {
      app.log.warn('password hashing runs at normal priority: only Linux can lower that of single threads');
    }
    app.decorate('hashLane', lane);
    app.gauge('latchkey_hash_lane_waiting', () => lane.state().waiting);
    app.gauge('latchkey_hash_lane_running', () => lane.state().running);
    app.gauge('latchkey_hash_lane_wait_seconds', () => lane.state().predictedWaitMs / 1000);
    // Made by hand: an error and its way through the handlers cost more than all the rest of a refusal.
    app.decorate('admitHash', accountOf => (request, reply, done) => {
      const retryAfterS = lane.refusal(hashOwner(request, accountOf?.(request)));
      if (retryAfterS === undefined) return done();
      app.count('latchkey_hash_refusals_total');
      reply
        .status(503)
        .header('retry-after', retryAfterS)
        .type('application/problem+json')
        .send(JSON.stringify(toProblem(OVERLOADED, request.id)));
    });

    const passwords = createPasswords(config.authSecrets, config.bcryptCost, lane);
    app.decorate('passwords', passwords);
    const reload = await app.follow('password_costs', COSTS_EVERY_MS, async db => {
      const hasMore = await readHashForms(db);
      passwords.matchCost(await findHighestCost(db));
      if (hasMore) setImmediate(() => void reload());
    });
  },
  { name: 'hashing', dependencies: ['database', 'metrics'] },
);

/** Who waits for the hash of a request, until the connection closes. */
export function hashCaller(request: FastifyRequest, reply: FastifyReply, username: string): HashCaller {
  return { ...hashOwner(request, username), gone: untilGone(reply) };
}

function hashOwner(request: FastifyRequest, username: string | undefined): Owner {
  return { address: foldAddress(addressOf(request)), account: username?.toLowerCase() };
}
