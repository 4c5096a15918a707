import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { openStore } from '#src/throttles/open-store.js';
import { deleteOldCounters } from '#src/throttles/postgres-store.js';
import { createSettlements } from '#src/throttles/settlements.js';
import { createDatabase, newCredentials, post, type Service, startService, startWire, until } from './helper.js';
import { startRedis, withoutRedis } from './redis.js';
import {
  blocks,
  from,
  guess,
  guesses,
  newAddress,
  onEachStore,
  signIn,
  signUp,
  startReplica,
  startThrottled,
  times,
} from './throttled.js';

/** The counters of a service. */
async function storeOf(t: Test, { app, config }: Service) {
  const { store, close } = await openStore(config.redisUrl, app.pg, app.log);
  t.teardown(close);
  return store;
}

t.test('a store that fails in the middle has nothing spent', async t => {
  const service = await startThrottled(t);
  const owner = await signUp(service);
  await guess(service, owner.username, newAddress());
  const lock = await service.app.pg.connect();
  await lock.query('BEGIN');
  await lock.query(`SELECT FROM auth.throttle_counters WHERE key LIKE 'account:%' FOR UPDATE`);
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => signIn(service, owner.username, owner.password, owner.address)),
  );
  t.same(
    answers.map(({ status }) => status),
    [503, 503, 503],
  );
  await lock.query('ROLLBACK');
  lock.release();
  const after = await signIn(service, owner.username, owner.password, newAddress());
  t.equal(after.status, 200);
  const { rows } = await service.sql(`SELECT key FROM auth.throttle_counters WHERE leases <> '{}'`);
  t.same(rows, [], 'those that were cut short were never taken');
});

onEachStore('attempts of a replica that was killed stop counting within seconds', async (t, overrides) => {
  const one = { quota: 1, windowS: 3600 };
  const throttle = { pair: one, address: one, leaseS: 8 };
  const service = await startThrottled(t, throttle, overrides);
  const replica = await startReplica(t, service);
  const owner = await signUp(service);
  // Nothing comes of what this one has begun.
  const dead = await startReplica(t, service);
  const spent = new Promise<void>(resolve => {
    dead.app.passwords.verify = () => {
      resolve();
      return new Promise(() => undefined);
    };
  });
  const address = newAddress();
  const gone = new AbortController();
  t.teardown(() => gone.abort());
  const body = JSON.stringify({ username: owner.username, password: 'wrong' });
  const headers = { 'content-type': 'application/json', ...from(address) };
  void fetch(`${dead.base}/auth/sign-in`, { method: 'POST', headers, body, signal: gone.signal }).catch(
    () => undefined,
  );
  await spent;
  const begun = performance.now();
  const waits: number[] = [];
  for (;;) {
    const answer = await signIn(replica, owner.username, owner.password, address);
    if (answer.status === 200) break;
    t.equal(answer.status, 429);
    const waitS = Number(answer.headers.get('retry-after'));
    waits.push(waitS);
    t.ok(waitS >= 1 && waitS <= 8, `${waitS} s`);
    t.match(answer.headers.get('ratelimit'), new RegExp(`;r=0;t=${waitS}$`));
    if (performance.now() - begun > 30_000) throw new Error(`still spent, and told to wait ${waits}`);
    await sleep(waitS * 1000);
  }
  t.ok(performance.now() - begun > 3000, 'not before the lease has run out');
  t.ok(Math.max(...waits) > 1, `the longer it takes, the longer the wait that is told: ${waits}`);
});

t.test('what could not be given back while the database was away is given back when it is back', async t => {
  const wire = await startWire(t, await createDatabase());
  const service = await startThrottled(t, { leaseS: 3600 }, { databaseUrl: wire.url });
  const { username, password, address } = await signUp(service);
  const { verify } = service.app.passwords;
  service.app.passwords.verify = async (...args) => {
    wire.cut();
    return verify(...args);
  };
  t.equal((await signIn(service, username, password, address)).status, 503);
  service.app.passwords.verify = verify;
  await wire.repair();
  const unsettled = async () =>
    (await service.sql(`SELECT key FROM auth.throttle_counters WHERE leases <> '{}'`)).rows.map(({ key }) => key);
  await until(async () => (await unsettled().catch(() => ['away'])).length === 0, 'it is given back');
  t.equal((await signIn(service, username, password, address)).status, 200);
});

t.test('a failure that Redis did not confirm counts, and once', { skip: withoutRedis }, async t => {
  const redis = await startRedis(t);
  const service = await startThrottled(t, {}, { redisUrl: redis.url });
  const { verify } = service.app.passwords;
  service.app.passwords.verify = async (...args) => {
    redis.signal('SIGSTOP');
    return verify(...args);
  };
  const [username, address] = [newCredentials().username, newAddress()];
  const first = await guess(service, username, address);
  t.equal(first.status, 401);
  t.equal(first.headers.get('ratelimit'), null, 'nobody knows what is left');
  service.app.passwords.verify = verify;
  // By now it has been sent more than once, and Redis reads all of that.
  await sleep(1500);
  redis.signal('SIGCONT');
  await sleep(1500);
  t.equal((await guess(service, username, address)).headers.get('ratelimit'), '"pair";r=8;t=900');
});

t.test('an attempt whose caller resets the connection is settled', async t => {
  const service = await startThrottled(t, { leaseS: 3600 }, { bcryptCost: 11, hashWorkers: 1 });
  const { port } = new URL(service.base);
  const username = newCredentials().username;
  const body = JSON.stringify({ username, password: 'wrong' });
  const head = ['POST /auth/sign-in HTTP/1.1', 'host: x', 'content-type: application/json'];
  const sockets = await Promise.all(
    times(5, 0).map(async () => {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(
        `${[...head, `content-length: ${body.length}`, `x-forwarded-for: ${newAddress()}`].join('\r\n')}\r\n\r\n${body}`,
      );
      return socket;
    }),
  );
  await until(async () => service.app.hashLane.state().waiting === 4, 'one hashes and four wait');
  for (const socket of sockets) socket.resetAndDestroy();
  const counted = async () =>
    (await service.sql(`SELECT failures, leases FROM auth.throttle_counters WHERE key LIKE 'account:%'`)).rows;
  await until(async () => (await counted())[0]?.leases.length === 0, 'all are settled');
  t.same(await counted(), [{ failures: 1, leases: [] }], 'the one that was hashed was a guess');
});

onEachStore('an attempt is settled once, however often it is tried and however late', async (t, overrides) => {
  const { spend, settle } = await storeOf(t, await startThrottled(t, {}, overrides));
  const claim = { key: `pair:${randomUUID()}`, quota: 3 };
  const settlement = { ...claim, memory: 3600, wait: 60, longest: 600 };
  const taken = async (leaseS: number) => (await spend([claim], leaseS, false)) as { lease: string };

  const [first, second] = [await taken(60), await taken(60)];
  t.not(first.lease, second.lease);
  for (let i = 0; i < 3; i++) {
    t.match(await settle(first.lease, [{ ...settlement, failed: true }]), [{ left: 1, blockS: null }]);
  }
  for (let i = 0; i < 3; i++) t.match(await settle(second.lease, [settlement]), [{ left: 2 }], 'given back');

  const late = await taken(0.05);
  await sleep(100);
  t.match(
    await settle(late.lease, [{ ...settlement, failed: true }]),
    [{ left: 1 }],
    'a failure, though it had run out',
  );
  const last = await taken(60);
  t.match(await spend([claim], 60, false), { refusedBy: claim.key, isClosed: false });
  const [count] = await settle(last.lease, [{ ...settlement, failed: true }]);
  t.match(count, { left: 0, blockS: 60 });
  t.match(await spend([claim], 60, false), { refusedBy: claim.key, isClosed: true });
  t.match(
    await spend([{ ...claim, key: 'pair:other' }, claim], 60, true),
    { taken: ['pair:other'] },
    'an exempt caller',
  );
  t.match(await settle(last.lease, [{ ...settlement, forgiven: true }]), [{ left: 0 }], 'settled already');
  t.match(await settle(undefined, [{ ...settlement, forgiven: true }]), [{ left: 3 }], 'forgiven by another attempt');
});

onEachStore('no key lists more than 1000 attempts that are not settled', async (t, overrides) => {
  const store = await storeOf(t, await startThrottled(t, {}, overrides));
  const claim = { key: `sign-up:${randomUUID()}`, quota: 1_000_000 };
  const spend = async () => 'lease' in (await store.spend([claim], 60, false));
  let taken = 0;
  // No more at once than may wait for the database.
  for (let i = 0; i < 1010; i += 101) taken += (await Promise.all(times(101, 0).map(spend))).filter(Boolean).length;
  t.equal(taken, 1000);
});

t.test('what is kept to be settled later is bounded, and goes once the store is back', async t => {
  let isAway = true;
  const counted = new Set<string>();
  const settle = async (lease: string) => {
    if (isAway) throw new Error('away');
    counted.add(lease);
    return [];
  };
  const settlements = createSettlements({ settle }, { warn: () => undefined });
  const send = (i: number) => settlements.settle({ lease: String(i), settlements: [], onSettled: () => undefined });
  const all = Array.from({ length: 1100 }, (_, i) => send(i));
  t.ok((await Promise.allSettled(all)).every(({ status }) => status === 'rejected'));
  t.equal(settlements.size(), 1000);
  isAway = false;
  await until(async () => settlements.size() === 0, 'all are settled');
  t.equal(counted.size, 1000);
  t.ok(counted.has('1099') && !counted.has('5'), 'the oldest were dropped');

  isAway = true;
  await t.rejects(send(2000));
  isAway = false;
  await settlements.close();
  t.ok(counted.has('2000'), 'a service that closes tries once more');
});

t.test('attempts at the same keys from everywhere, and the sweep, never wait for each other in a circle', async t => {
  const plenty = { quota: 100, windowS: 3600 };
  const services = [await startThrottled(t, { pair: plenty, account: plenty, address: plenty })];
  for (let i = 0; i < 2; i++) services.push(await startReplica(t, services[0] as Service));
  const [first] = services as [Service];
  const owners = await Promise.all(times(4, 0).map(() => signUp(first)));
  const homes = times(4, 0).map(newAddress);
  let isOver = false;
  const sweeping = (async () => {
    while (!isOver) {
      await first.sql(
        'UPDATE auth.throttle_counters SET expires_at = now() WHERE key IN (SELECT key FROM auth.throttle_counters FOR UPDATE SKIP LOCKED)',
      );
      await deleteOldCounters(first.app.pg, 3);
    }
  })();
  const statuses = await Promise.all(
    times(300, 0).map(async (_, i) => {
      const { username, password } = owners[i % 4] as (typeof owners)[number];
      const address = homes[(i >> 2) % 4] as string;
      return (await signIn(services[i % 3] as Service, username, i % 2 ? password : 'wrong', address)).status;
    }),
  );
  isOver = true;
  await sweeping;
  t.same([...new Set(statuses)].sort(), [200, 401]);
  const { rows } = await first.sql('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()');
  t.same(rows, [{ deadlocks: 0 }]);
});

t.test('an update from the version before takes its blocks, failures and known addresses along', async t => {
  const { sql } = await startThrottled(t);
  const old = (key: string, points: number, restS: number) =>
    sql('INSERT INTO auth.throttles VALUES ($1, $2, (extract(epoch FROM now()) + $3) * 1000)', [key, points, restS]);
  await old('account:a', 1_000_000_003, 600);
  await old('account-failures:a', 21, 86_400);
  await old('address:b', 7, 3600);
  await old('address-failures:b', 5, 3600);
  await old('familiar:c', 1, 864_000);
  await old('pair:c', 2, 900);
  await old('pair:d', 1_000_000_000, -1);
  const migration = await readFile(new URL('../migrations/013_throttle_counters.sql', import.meta.url), 'utf8');
  await sql(/^INSERT INTO auth\.throttle_counters [^;]+/m.exec(migration)?.[0] as string);
  const { rows } = await sql(
    `SELECT key, failures, round(extract(epoch FROM failures_until - now()) / 60)::int AS failures_min,
       round(extract(epoch FROM closed_until - now()) / 60)::int AS closed_min,
       round(extract(epoch FROM known_until - now()) / 60)::int AS known_min, expires_at > now() AS stays
     FROM auth.throttle_counters ORDER BY key`,
  );
  t.same(rows, [
    { key: 'account:a', failures: 21, failures_min: 1440, closed_min: 10, known_min: null, stays: true },
    { key: 'address:b', failures: 5, failures_min: 60, closed_min: null, known_min: null, stays: true },
    { key: 'pair:c', failures: 0, failures_min: null, closed_min: null, known_min: 14_400, stays: true },
  ]);
});

for (const store of ['PostgreSQL', 'Redis']) {
  t.test(
    `on ${store}, 200 guesses at once over three replicas are the budget and not one more`,
    {
      skip: store === 'Redis' && withoutRedis,
    },
    async t => {
      const redis = store === 'Redis' ? await startRedis(t) : undefined;
      const first = await startThrottled(t, {}, { ...(redis && { redisUrl: redis.url }) });
      const { trustProxy, throttle, databaseUrl, authSecrets, redisUrl } = first.config;
      const shared = { trustProxy, throttle, databaseUrl, authSecrets, ...(redisUrl && { redisUrl }) };
      const services = [first, await startService(t, shared), await startService(t, shared)];
      const owner = await signUp(first);

      const flood = async (username: string, addressOf: () => string) => {
        const answers = await Promise.all(
          times(200, 0).map((_, i) => guess(services[i % 3] as Service, username, addressOf())),
        );
        const counted = (status: number) => answers.filter(answer => answer.status === status).length;
        return { guessed: counted(401), refused: counted(429) };
      };
      const one = newAddress();
      t.same(await flood(newCredentials().username, () => one), { guessed: 10, refused: 190 }, 'a pair');
      t.same(await flood(owner.username, newAddress), { guessed: 20, refused: 180 }, 'an account');
      const other = newAddress();
      const usernames = Array.from({ length: 200 }, newCredentials);
      const answers = await Promise.all(
        usernames.map(({ username }, i) => guess(services[i % 3] as Service, username, other)),
      );
      t.equal(answers.filter(({ status }) => status === 401).length, 100, 'an address');

      t.equal((await signIn(services[2] as Service, owner.username, owner.password, owner.address)).status, 200);
      const begun = services.flatMap(blocks).map(({ limit }) => limit);
      t.same(begun.sort(), ['account', 'address', 'pair'], 'and one line in the log for each block');
      const { rows } = await first.sql(`SELECT count(*)::int FROM auth.audit_events WHERE event = 'sign_in_failed'`);
      t.equal(rows[0].count, 130, 'what is refused leaves no audit event');
    },
  );
}

t.test('who is refused already costs the store nothing, and is refused while it is away', async t => {
  const postgres = await startThrowawayPostgres();
  const service = await startThrottled(t, {}, { databaseUrl: postgres.url });
  const [username, address] = [newCredentials().username, newAddress()];
  for (let i = 0; i < 2; i++) await guesses(service, 10, username);
  await guesses(service, 11, newCredentials().username, address);
  const pair = newCredentials().username;
  await guesses(service, 10, pair, address);

  let statements = 0;
  service.app.pg.pool.on('acquire', () => statements++);
  const stranger = newAddress();
  const before = performance.now();
  for (let i = 0; i < 20; i++) {
    const flood = times(25, 0).flatMap(() => [guess(service, pair, address), guess(service, username, stranger)]);
    t.same(new Set((await Promise.all(flood)).map(({ status }) => status)), new Set([429]));
  }
  // The stranger is looked up by the first 25, who come at once; in a while somebody asks again, and the feeds go on.
  const background = Math.ceil((performance.now() - before) / 250) + 5;
  t.ok(statements <= 25 + background, `${statements} statements for 1000 requests`);

  await postgres.stop();
  for (const again of [() => guess(service, pair, address), () => guess(service, username, stranger)]) {
    // One in a while asks the store, and the others are refused.
    const statuses = (await Promise.all([again(), again()])).map(({ status }) => status);
    t.ok(statuses.includes(429), String(statuses));
  }
  const unknown = await guess(service, username, newAddress());
  t.equal(unknown.status, 503);
  t.match(unknown.body, { code: 'service_unavailable' });
  t.ok(unknown.headers.get('retry-after'));
  t.equal((await post(`${service.base}/auth/sign-up`, newCredentials())).status, 503);
});

t.test('without its Redis the service answers 503 at once, until it is back', { skip: withoutRedis }, async t => {
  const redis = await startRedis(t);
  const service = await startThrottled(t, {}, { redisUrl: redis.url });
  const { username, password, address } = await signUp(service);
  t.equal((await signIn(service, username, password, address)).status, 200);

  for (const away of [() => redis.stop(), () => void redis.signal('SIGSTOP')]) {
    await away();
    const before = performance.now();
    const answers = await Promise.all([
      signIn(service, username, password, address),
      guess(service, username, newAddress()),
      post(`${service.base}/auth/sign-up`, newCredentials()),
    ]);
    t.ok(performance.now() - before < 3000, 'nobody hangs');
    for (const answer of answers) {
      t.equal(answer.status, 503);
      t.equal(answer.body.code, 'service_unavailable');
      t.ok(answer.headers.get('retry-after'));
    }
    if (away.toString().includes('SIGSTOP')) redis.signal('SIGCONT');
    else await redis.start();
    const deadline = performance.now() + 5000;
    while ((await signIn(service, username, password, address)).status === 503) {
      if (performance.now() > deadline) throw new Error('not back in time');
      await sleep(20);
    }
    t.equal((await signIn(service, username, password, address)).status, 200);
  }
  await redis.stop();
  await t.rejects(startThrottled(t, {}, { redisUrl: redis.url }), { message: /Redis does not respond .*REDIS_URL/ });
});

t.test('the store holds no usernames, for people type passwords there', async t => {
  const typed = `hunter2-${randomUUID()}`;
  const service = await startThrottled(t);
  const { username } = await signUp(service);
  await guesses(service, 20, typed);
  await guesses(service, 1, username);
  const { rows } = await service.sql(`SELECT * FROM auth.throttle_counters`);
  t.ok(rows.length >= 5);
  t.notMatch(JSON.stringify(rows) + service.logs.join(''), /hunter2|198\.51.*"key/);
  for (const { key } of rows) t.match(key, /^[a-z-]+:[\w-]{22}$/);
});

t.test('Redis holds no usernames either', { skip: withoutRedis }, async t => {
  const typed = `hunter2-${randomUUID()}`;
  const { url } = await startRedis(t);
  const onRedis = await startThrottled(t, {}, { redisUrl: url });
  await guesses(onRedis, 10, typed);
  const redis = new Redis(url);
  const keys = await redis.keys('*');
  redis.disconnect();
  t.ok(keys.length >= 3);
  for (const key of keys) t.match(key, /^latchkey:throttle:[a-z-]+:[\w-]{22}$/);
});

t.test('counters that are over are swept away', async t => {
  const service = await startThrottled(t);
  const { username } = await signUp(service);
  await guesses(service, 1, username);
  const over = await service.sql(
    `UPDATE auth.throttle_counters SET expires_at = now() WHERE key LIKE 'account:%' RETURNING key`,
  );
  t.equal(over.rowCount, 1);
  t.equal(await deleteOldCounters(service.app.pg, 1000), 1);
  const { rows } = await service.sql(
    `SELECT min(expires_at - greatest(failures_until, closed_until, known_until)) > '0 s' AS kept, count(*)::int
     FROM auth.throttle_counters`,
  );
  t.same(rows, [{ kept: true, count: 4 }], 'none is swept away while it counts');
});
