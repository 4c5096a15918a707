import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { foldAddress } from '@latchkey/service-kit/http';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { type Config, loadSettings } from '../src/config/settings.js';
import { openStore } from '../src/throttles/index.js';
import { createRefusals } from '../src/throttles/limit.js';
import { deleteOldCounters } from '../src/throttles/postgres-store.js';
import { createSettlements } from '../src/throttles/settlements.js';
import {
  type Answer,
  call,
  createDatabase,
  newCredentials,
  post,
  type Service,
  startService,
  startWire,
  until,
} from './helper.js';
import { startRedis, withoutRedis } from './redis.js';

const BREACHED = createHash('sha1').update('correct horse battery').digest('hex').toUpperCase();
const DEFAULTS = loadSettings({}).throttle;
type Throttle = Partial<Config['throttle']>;

/** A service with throttles, which takes the addresses of its callers from this test as from a gateway. */
const startThrottled = (t: Test, throttle: Throttle = {}, overrides: Partial<Config> = {}): Promise<Service> =>
  startService(t, { trustProxy: ['127.0.0.1'], throttle: { ...DEFAULTS, ...throttle }, ...overrides });

let addresses = 0;
const newAddress = () => `198.51.${++addresses >> 8}.${addresses & 0xff}`;
const from = (address: string) => ({ 'x-forwarded-for': address });

const signIn = ({ base }: Service, username: string, password: string, address: string): Promise<Answer> =>
  post(`${base}/auth/sign-in`, { username, password }, from(address));
const guess = (service: Service, username: string, address: string) => signIn(service, username, 'wrong', address);

/** Guesses so often, one after the other; answers the statuses. */
async function guesses(service: Service, times: number, username: string, address = newAddress()): Promise<number[]> {
  const statuses = [];
  for (let i = 0; i < times; i++) statuses.push((await guess(service, username, address)).status);
  return statuses;
}

async function signUp({ base }: Service, address = newAddress()) {
  const credentials = newCredentials();
  const { status, body } = await post(`${base}/auth/sign-up`, credentials, from(address));
  if (status !== 201) throw new Error(`sign-up was answered ${status}`);
  return { ...credentials, address, token: body.token as string };
}

const changePassword = ({ base }: Service, token: string, currentPassword: string, newPassword: string) =>
  call(`${base}/auth/password`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...from(newAddress()) },
    body: JSON.stringify({ currentPassword, newPassword }),
  });

const times = <T>(count: number, value: T): T[] => new Array(count).fill(value);
const blocks = ({ logs }: Service) => logs.map(line => JSON.parse(line)).filter(line => line.event === 'throttled');

t.test('wrong passwords from one address close the account to that address, and to no other', async t => {
  const service = await startThrottled(t);
  const owner = await signUp(service);
  const attacker = newAddress();

  const first = await guess(service, owner.username, attacker);
  t.equal(first.status, 401);
  t.equal(first.headers.get('ratelimit-policy'), '"pair";q=10;w=900, "address";q=100;w=3600, "account";q=20;w=3600');
  t.equal(first.headers.get('ratelimit'), '"pair";r=9;t=900');
  t.same(await guesses(service, 9, owner.username, attacker), times(9, 401));

  const refused = await signIn(service, owner.username.toUpperCase(), owner.password, attacker);
  t.equal(refused.status, 429, 'also with the right password, and in another case');
  t.match(refused.body, { status: 429, code: 'too_many_requests' });
  t.equal(refused.headers.get('retry-after'), '900');
  t.equal(refused.headers.get('ratelimit'), '"pair";r=0;t=900');
  t.equal(refused.headers.get('ratelimit-policy'), first.headers.get('ratelimit-policy'));

  t.equal((await guess(service, newCredentials().username, attacker)).status, 401, 'another account');
  const right = await signIn(service, owner.username, owner.password, newAddress());
  t.equal(right.status, 200);
  t.equal(right.headers.get('ratelimit'), '"pair";r=10');
});

t.test('wrong passwords from everywhere close the account, but not to addresses that it knows', async t => {
  const service = await startThrottled(t);
  const owner = await signUp(service);
  const elsewhere = newAddress();
  t.equal((await signIn(service, owner.username, owner.password, elsewhere)).status, 200);

  const statuses = [];
  for (let i = 0; i < 25; i++) statuses.push(...(await guesses(service, 1, owner.username)));
  t.same(statuses, [...times(20, 401), ...times(5, 429)]);
  const stranger = await signIn(service, owner.username, owner.password, newAddress());
  t.equal(stranger.status, 429);
  t.match(stranger.headers.get('ratelimit'), /^"account";r=0;t=3(600|59\d)$/);

  for (const address of [owner.address, elsewhere]) {
    t.equal((await signIn(service, owner.username, owner.password, address)).status, 200);
    t.same(await guesses(service, 11, owner.username, address), [...times(10, 401), 429], 'an allowance of its own');
  }
});

t.test('unknown, disabled and known accounts are throttled alike', async t => {
  const service = await startThrottled(t, { pair: { quota: 2, windowS: 900 }, account: { quota: 4, windowS: 3600 } });
  const [known, disabled] = [await signUp(service), await signUp(service)];
  await service.sql('UPDATE auth.users SET disabled_at = now() WHERE lower(username) = $1', [disabled.username]);
  const seen = async (username: string) => {
    const [one, other, third] = [newAddress(), newAddress(), newAddress()];
    const answers = [];
    for (const address of [one, one, one, other, other, third, third]) {
      const { status, headers, body } = await guess(service, username, address);
      const { requestId, ...problem } = body;
      const { date, 'x-request-id': id, ...rest } = Object.fromEntries(headers);
      // A second may pass meanwhile.
      const text = JSON.stringify(rest).replace(
        /(t=|"retry-after":")(\d+)/g,
        (_, name, s) => name + Math.round(+s / 10),
      );
      answers.push([status, text, JSON.stringify(problem)]);
    }
    return answers;
  };
  const unknown = await seen(newCredentials().username);
  t.same(
    unknown.map(([status]) => status),
    [401, 401, 429, 401, 401, 429, 429],
  );
  t.same(await seen(known.username), unknown);
  t.same(await seen(disabled.username), unknown);
});

t.test('one address may fail only so often, whatever the usernames, and owes nobody else anything', async t => {
  const service = await startThrottled(t, { address: { quota: 5, windowS: 3600 } });
  const address = newAddress();
  const statuses = [];
  for (let i = 0; i < 8; i++) statuses.push(...(await guesses(service, 1, newCredentials().username, address)));
  t.same(statuses, [...times(5, 401), ...times(3, 429)]);

  const owner = await signUp(service);
  const refused = await signIn(service, owner.username, owner.password, address);
  t.match(refused.headers.get('ratelimit'), /^"address";r=0;t=3(600|59\d)$/);
  const flood = await Promise.all(times(100, 0).map(() => guess(service, owner.username, address)));
  t.same(new Set(flood.map(({ status }) => status)), new Set([429]));
  t.same(await guesses(service, 5, owner.username), times(5, 401), 'the account has paid for none of them');
});

t.test('a flood from one address uses up neither the account nor its neighbours', async t => {
  const first = await startThrottled(t, { address: { quota: 12, windowS: 3600 } });
  const { databaseUrl, authSecrets, throttle } = first.config;
  const services: Service[] = [first];
  for (let i = 0; i < 2; i++) services.push(await startThrottled(t, throttle, { databaseUrl, authSecrets }));
  const owner = await signUp(services[0] as Service);
  const attacker = newAddress();
  const flood = times(300, 0).map((_, i) => guess(services[i % 3] as Service, owner.username, attacker));
  const guessed = (await Promise.all(flood)).filter(({ status }) => status === 401).length;
  t.ok(guessed > 0 && guessed <= 10, `${guessed} guesses`);
  const { rows } = await first.sql(
    `SELECT failures, leases FROM auth.throttle_counters WHERE key ~ '^(account|address):'`,
  );
  t.same(rows, times(2, { failures: guessed, leases: [] }), 'what is refused is spent nowhere');
});

t.test('an address that others have closed is open to who is at home there', async t => {
  const service = await startThrottled(t, { address: { quota: 3, windowS: 3600 } });
  const owner = await signUp(service);
  for (let i = 0; i < 3; i++) await guess(service, newCredentials().username, owner.address);
  t.equal((await guess(service, newCredentials().username, owner.address)).status, 429, 'to strangers it is closed');
  t.equal((await signIn(service, owner.username, owner.password, owner.address)).status, 200);
  const changed = await call(`${service.base}/auth/password`, {
    method: 'PUT',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${owner.token}`,
      ...from(owner.address),
    },
    body: JSON.stringify({ currentPassword: owner.password, newPassword: 'brand new 42' }),
  });
  t.equal(changed.status, 200);
});

t.test('attempts that are not settled yet close nothing for long', async t => {
  const service = await startThrottled(t, {}, { bcryptCost: 11, hashWorkers: 1 });
  const owner = await signUp(service);
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => signIn(service, owner.username, owner.password, owner.address)),
  );
  const refused = answers.filter(({ status }) => status === 429);
  t.ok(refused.length > 0, 'more than the quota at once');
  for (const { headers } of refused) t.equal(headers.get('retry-after'), '1');
  t.equal((await signIn(service, owner.username, owner.password, owner.address)).status, 200);
});

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

/** Another replica on the same database, or Redis, with the same secrets. */
const startReplica = (t: Test, { config }: Service): Promise<Service> => {
  const { trustProxy, throttle, databaseUrl, authSecrets, redisUrl } = config;
  return startService(t, { trustProxy, throttle, databaseUrl, authSecrets, ...(redisUrl && { redisUrl }) });
};

/** Runs a test on each kind of store. */
function onEachStore(name: string, test: (t: Test, overrides: Partial<Config>) => Promise<void>): void {
  t.test(`on PostgreSQL, ${name}`, t => test(t, {}));
  t.test(`on Redis, ${name}`, { skip: withoutRedis }, async t => test(t, { redisUrl: (await startRedis(t)).url }));
}

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

t.test('a replica whose clock is wrong keeps every block, and makes none longer', async t => {
  const service = await startThrottled(t, { pair: { quota: 2, windowS: 300 } });
  const wrong = await startReplica(t, service);
  const { now } = Date;
  t.teardown(() => {
    Date.now = now;
  });
  const address = newAddress();
  for (const offS of [600, -600]) {
    const { username } = newCredentials();
    t.same(await guesses(service, 2, username, address), [401, 401]);
    Date.now = () => now() + offS * 1000;
    const refused = await guess(wrong, username, address);
    const other = newCredentials().username;
    t.same(await guesses(wrong, 2, other, address), [401, 401]);
    Date.now = now;
    for (const { status, headers } of [refused, await guess(service, other, address)]) {
      t.equal(status, 429);
      t.match(headers.get('retry-after'), /^(300|29\d)$/, `${offS} s off`);
    }
  }
});

/** The counters of a service. */
async function storeOf(t: Test, { app, config }: Service) {
  const { store, close } = await openStore(config.redisUrl, app.pg, app.log);
  t.teardown(close);
  return store;
}

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

t.test('asking the list of breached passwords counts as a sign-up', async t => {
  const list = createHttpServer((_, response) => response.end(`${BREACHED.slice(5)}:9`)).listen(0, '127.0.0.1');
  await once(list, 'listening');
  t.teardown(() => void list.close());
  const passwordBreachUrl = `http://127.0.0.1:${(list.address() as AddressInfo).port}`;
  const service = await startThrottled(t, { signUp: { quota: 2, windowS: 60 } }, { passwordBreachUrl });
  const address = newAddress();
  const tryBreached = () =>
    post(`${service.base}/auth/sign-up`, { ...newCredentials(), password: 'correct horse battery' }, from(address));
  t.same([(await tryBreached()).status, (await tryBreached()).status, (await tryBreached()).status], [400, 400, 429]);
});

t.test('sign-ups from an address are counted, whether the username is free or not', async t => {
  const service = await startThrottled(t, { signUp: { quota: 3, windowS: 3600 } });
  const address = newAddress();
  const send = (body: object) => post(`${service.base}/auth/sign-up`, body, from(address));
  const first = await send(newCredentials());
  t.equal(first.status, 201);
  t.equal(first.headers.get('ratelimit-policy'), '"sign-up";q=3;w=3600');
  t.match(first.headers.get('ratelimit'), /^"sign-up";r=2;t=3600$/);
  t.equal((await send({ ...newCredentials(), password: 'password' })).status, 400, 'this one cost no hash');
  const { username } = first.body.user;
  t.equal((await send({ ...newCredentials(), username })).status, 409);
  t.equal((await send(newCredentials())).status, 201);
  const refused = await send(newCredentials());
  t.equal(refused.status, 429);
  t.match(refused.headers.get('ratelimit'), /^"sign-up";r=0;t=3(600|59\d)$/);
  t.ok(Number(refused.headers.get('retry-after')) > 3590);
  await signUp(service);
  t.match(await signIn(service, first.body.user.username, 'open sesame 42', address), { status: 200 });
});

t.test('correct sign-ins are not throttled', async t => {
  const small = { quota: 3, windowS: 3600 };
  const service = await startThrottled(t, { pair: small, account: small, address: small });
  const { username, password, address } = await signUp(service);
  for (let i = 0; i < 12; i++) t.equal((await signIn(service, username, password, address)).status, 200);

  t.same(await guesses(service, 2, username, address), [401, 401]);
  t.equal((await signIn(service, username, password, address)).status, 200);
  t.equal((await guess(service, username, address)).headers.get('ratelimit'), '"pair";r=2;t=3600', 'forgiven');
});

t.test('an attempt that overload or a fault cut short is no guess', async t => {
  const service = await startThrottled(t, { pair: { quota: 2, windowS: 900 } });
  const { username, password, address } = await signUp(service);
  const { verify } = service.app.passwords;
  service.app.passwords.verify = async () => {
    throw Object.assign(new Error('too busy'), { statusCode: 503 });
  };
  t.same(await guesses(service, 5, username, address), times(5, 503));
  service.app.passwords.verify = verify;
  t.same(await guesses(service, 1, username, address), [401]);
  t.equal((await signIn(service, username, password, address)).status, 200);
});

t.test('guesses at the current password count on the account; the session has an allowance of its own', async t => {
  const service = await startThrottled(t, { pair: { quota: 3, windowS: 900 }, account: { quota: 4, windowS: 3600 } });
  const { username, password, token } = await signUp(service);
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await changePassword(service, token, 'wrong', 'new password 42')).status);
  t.same(statuses, [401, 401, 401, 429], 'from whatever address');
  t.same(await guesses(service, 2, username), [401, 429]);

  const other = await signIn(service, username, password, newAddress());
  t.equal(other.status, 429);
  const owner = await signUp(service);
  for (let i = 0; i < 5; i++) await guesses(service, 1, owner.username);
  t.equal((await guess(service, owner.username, newAddress())).status, 429);
  const changed = await changePassword(service, owner.token, owner.password, 'new password 42');
  t.equal(changed.status, 200, 'a caller with a session may still change the password');
});

t.test('a spent quota opens again after the wait that it told, and waits longer the next time', async t => {
  const small = { quota: 2, windowS: 1 };
  const service = await startThrottled(t, { pair: small, maxWaitS: 3 });
  const [username, address] = [newCredentials().username, newAddress()];
  for (const waitS of [1, 2, 3, 3]) {
    t.same(await guesses(service, 2, username, address), [401, 401]);
    const refused = await guess(service, username, address);
    t.equal(refused.status, 429);
    t.equal(refused.headers.get('retry-after'), String(waitS));
    await sleep(waitS * 1000);
  }
});

t.test('slow guesses gain nothing', async t => {
  const [pair, account] = [
    { quota: 2, windowS: 1 },
    { quota: 3, windowS: 1 },
  ];
  const service = await startThrottled(t, { pair, account, maxWaitS: 60 });
  const { username, password, address } = await signUp(service);
  t.same(await guesses(service, 1, username), [401]);
  t.equal((await guess(service, username, address)).headers.get('ratelimit'), '"pair";r=1;t=1');
  await sleep(1100);
  const last = await guess(service, username, address);
  t.equal(last.status, 401);
  t.equal(last.headers.get('ratelimit'), '"pair";r=0;t=1');
  t.same(
    blocks(service)
      .map(({ limit }) => limit)
      .sort(),
    ['account', 'pair'],
    'two for the pair, three for the account',
  );
  for (const other of [address, newAddress()]) t.same(await guesses(service, 1, username, other), [429]);
  await sleep(1100);
  t.equal((await signIn(service, username, password, address)).status, 200);
  t.equal((await guess(service, username, address)).headers.get('ratelimit'), '"pair";r=1;t=1', 'forgiven again');
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
  t.equal((await guess(service, pair, address)).status, 429);
  t.equal((await guess(service, username, stranger)).status, 429);
  const unknown = await guess(service, username, newAddress());
  t.equal(unknown.status, 503);
  t.match(unknown.body, { code: 'service_unavailable' });
  t.ok(unknown.headers.get('retry-after'));
  t.equal((await post(`${service.base}/auth/sign-up`, newCredentials())).status, 503);
});

t.test('what is remembered of the refused is bounded', async t => {
  const refusals = createRefusals();
  const until = performance.now() + 60_000;
  for (let i = 0; i <= 10_000; i++) refusals.add(String(i), until);
  t.equal(refusals.find('0'), undefined);
  t.equal(refusals.find('1'), until);
  refusals.add('gone', performance.now() - 1);
  t.equal(refusals.find('gone'), undefined);
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

t.test(
  'the store holds no usernames, for people type passwords there, and sessions hold no prepared statements',
  async t => {
    const typed = `hunter2-${randomUUID()}`;
    const service = await startThrottled(t);
    const { username } = await signUp(service);
    await guesses(service, 20, typed);
    await guesses(service, 1, username);
    const { rows } = await service.sql(`SELECT * FROM auth.throttle_counters`);
    t.ok(rows.length >= 5);
    t.notMatch(JSON.stringify(rows) + service.logs.join(''), /hunter2|198\.51.*"key/);
    for (const { key } of rows) t.match(key, /^[a-z-]+:[\w-]{22}$/);

    const { pool } = service.app.pg;
    const clients = await Promise.all(times(pool.totalCount, 0).map(() => pool.connect()));
    for (const client of clients) {
      t.same((await client.query('SELECT name FROM pg_prepared_statements')).rows, [], 'as PgBouncer needs it');
      client.release();
    }
  },
);

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

t.test('an address is what the gateway says it is, an IPv6 one its /64, and a forged header is nothing', async t => {
  const small = { address: { quota: 2, windowS: 3600 } };
  const service = await startThrottled(t, small);
  const other = () => newCredentials().username;
  const cases = [
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:DB8:0001:2::7', '2001:db8:1:3::1'],
    ['203.0.113.5', '::ffff:203.0.113.5', '::ffff:cb00:7105', '203.0.113.6'],
  ] as const;
  for (const [first, second, same, different] of cases) {
    t.same(await guesses(service, 1, other(), first), [401]);
    t.same(await guesses(service, 1, other(), second), [401]);
    t.same(await guesses(service, 1, other(), same), [429]);
    t.same(await guesses(service, 1, other(), different), [401]);
  }
  const wary = await startThrottled(t, small, { trustProxy: [] });
  for (const status of [401, 401, 429, 429]) t.same(await guesses(wary, 1, other()), [status]);

  const hex = fc.integer({ min: 0, max: 0xffff }).map(group => group.toString(16));
  const halves = fc.tuple(fc.array(hex, { minLength: 4, maxLength: 4 }), fc.array(hex, { minLength: 4, maxLength: 4 }));
  fc.assert(
    fc.property(halves, halves, ([network, host], [, otherHost]) => {
      fc.pre(network.some(group => group !== '0'));
      const folded = foldAddress([...network, ...host].join(':'));
      t.equal(folded, foldAddress([...network, ...otherHost].join(':').toUpperCase()));
      t.equal(folded, `${network.join(':')}::/64`);
    }),
  );
  t.equal(foldAddress('fe80::1%eth0'), 'fe80:0:0:0::/64');
  t.equal(foldAddress('::1'), '0:0:0:0::/64');
  t.equal(foldAddress('::ffff:1.2.3.4'), '1.2.3.4');
  t.equal(foldAddress('203.0.113.9:4000'), '203.0.113.9', 'some gateways add the port');
  t.equal(foldAddress('[2001:db8::1]:4000'), '2001:db8:0:0::/64');
  t.equal(foldAddress('garbage'), foldAddress('rubbish'), 'what is no address is no way out');
  t.equal(foldAddress(undefined), foldAddress('garbage'), 'nor is none');
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

t.test('settings', async t => {
  t.match(DEFAULTS, { enabled: true, account: { quota: 20, windowS: 3600 }, knownAddressDays: 30 });
  t.equal(loadSettings({ THROTTLE_ENABLED: 'false' }).throttle.enabled, false);
  t.equal(loadSettings({ REDIS_URL: 'rediss://redis:6380/1' }).redisUrl, 'rediss://redis:6380/1');
  const cases: [env: Record<string, string>, message: RegExp][] = [
    [{ THROTTLE_ACCOUNT_FAILURES: '101' }, /THROTTLE_ACCOUNT_FAILURES: must be <= 100/],
    [{ THROTTLE_PAIR_FAILURES: '0' }, /THROTTLE_PAIR_FAILURES: must be >= 1/],
    [{ THROTTLE_PAIR_FAILURES: '21' }, /THROTTLE_PAIR_FAILURES: must not be above THROTTLE_ACCOUNT_FAILURES/],
    [{ THROTTLE_MAX_WAIT_S: '3599' }, /THROTTLE_MAX_WAIT_S: must not be below THROTTLE_ACCOUNT_WAIT_S/],
    [{ THROTTLE_ENABLED: 'no' }, /THROTTLE_ENABLED: must be boolean/],
    [{ THROTTLE_ENABELD: 'false' }, /THROTTLE_ENABELD is not a setting; did you mean THROTTLE_ENABLED\?/],
    [{ REDIS_URL: 'http://redis' }, /REDIS_URL: must match/],
  ];
  for (const [env, message] of cases) t.throws(() => loadSettings(env), { name: 'ConfigError', message });

  const off = { throttle: { ...DEFAULTS, enabled: false }, production: true };
  const service = await startService(t, off);
  const answer = await guess(service, newCredentials().username, newAddress());
  t.equal(answer.headers.get('ratelimit'), null);
  t.match(service.logs.join(''), /the throttles are off \(THROTTLE_ENABLED\)/);
});
