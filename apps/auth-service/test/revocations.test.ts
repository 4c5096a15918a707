import { randomUUID } from 'node:crypto';
import { createAuthClient, createVerifier } from '@latchkey/auth-client';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import fc from 'fast-check';
import t from 'tap';
import { createOutageWatch } from '../src/database/outage.js';
import { createResponseCache } from '../src/revocations/response-cache.js';
import { createRevocationLog, isBehind } from '../src/revocations/revocation-log.js';
import { FIRST_PLACE, type Place, type PlacedRevocation } from '../src/revocations/stored-revocations.js';
import { get, newCredentials, post, segment, startService, until } from './helper.js';

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
const byPlace = (a: Place, b: Place) => (isBehind(a, b) ? 1 : -1);
const lastOf = (revocations: PlacedRevocation[]) => revocations.at(-1) ?? FIRST_PLACE;

t.test('a reader of the log gets all of it, in pages, from any place', async t => {
  const position = fc.integer({ min: 1, max: 50 });
  const revocation = fc.record({ sid: fc.uuid(), exp: fc.constant(inSeconds(60)), position });
  const all = fc.array(revocation, { maxLength: 200 }).map(list => list.toSorted(byPlace));
  fc.assert(
    fc.property(
      all,
      fc.nat(),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 20 }),
      (all, at, cut, limit) => {
        const log = createRevocationLog();
        for (let i = 0; i < all.length; i += cut) {
          const part = all.slice(i, i + cut);
          log.append(part, lastOf(part), inSeconds(0));
        }
        const start: Place = all[at % (all.length + 1)] ?? FIRST_PLACE;
        const read: string[] = [];
        for (let place = start, more = true; more; ) {
          const page = log.after(place, limit);
          t.ok(page.revocations.length <= limit);
          read.push(...page.revocations.map(({ sid }) => sid));
          [place, more] = [page.next, page.hasMore];
        }
        t.same(
          read,
          all.filter(place => isBehind(place, start)).map(({ sid }) => sid),
        );
      },
    ),
    { numRuns: 200 },
  );
});

t.test('the log forgets what is in force no more, a share at a time, and nothing else', async t => {
  const log = createRevocationLog();
  const make = (count: number, position: number, exp: number) =>
    Array.from({ length: count }, () => ({ sid: randomUUID(), exp, position })).toSorted(byPlace);
  const over = make(25_000, 1, inSeconds(-301));
  const live = make(10, 2, inSeconds(60));
  log.append(over, lastOf(over), inSeconds(0));
  log.append(live, lastOf(live), inSeconds(0));
  t.equal(log.size(), 25_010);
  log.prune();
  t.ok(log.size() > 10, 'not all at once');
  for (let i = 0; i < 10; i++) log.prune();
  t.equal(log.size(), 10);
  t.same(log.after(FIRST_PLACE, 100).revocations.length, 10);
  for (const { sid } of live) t.ok(log.has(sid));
});

t.test('what a restarted log has not been told again is missing', async t => {
  const log = createRevocationLog();
  const [kept, lost, own, expired] = [
    { sid: randomUUID(), exp: inSeconds(60) },
    { sid: randomUUID(), exp: inSeconds(60) },
    { sid: randomUUID(), exp: inSeconds(60) },
    { sid: randomUUID(), exp: inSeconds(-301) },
  ];
  log.append(
    [kept, lost, expired].map((one, i) => ({ ...one, position: i + 1 })),
    { position: 3, sid: expired.sid },
    inSeconds(0),
  );
  log.add([own]);
  log.restart();
  t.same(log.after(FIRST_PLACE, 10).revocations, [], 'places of before are good for nothing');
  for (const { sid } of [kept, lost, own]) t.ok(log.has(sid), 'but what has ended remains ended');
  log.append([{ ...kept, position: 1 }], { position: 1, sid: kept.sid }, inSeconds(0));
  t.same(new Set(log.missing()), new Set([lost, own]));
  log.settle();
  t.same(log.missing(), []);
});

t.test('an outage counts for as long as it lasts, five minutes at most', async t => {
  const minute = 60_000;
  let now = 0;
  const watch = createOutageWatch(3000, 10_000, () => now);
  const pass = (ms: number) => {
    now += ms;
  };
  pass(2000);
  t.equal(watch.awayMs(), 0, 'a short silence is none');
  watch.responded(now);
  pass(2 * minute);
  t.equal(watch.awayMs(), 2 * minute);
  pass(60 * minute);
  t.equal(watch.awayMs(), 5 * minute, 'a long one has a bound while it lasts');
  watch.responded(now);
  t.equal(watch.awayMs(), 5 * minute, 'and afterwards');
  for (let second = 0; second < 11; second++) {
    pass(1000);
    watch.responded(now);
  }
  t.equal(watch.awayMs(), 0, 'it is remembered for a while only');
});

t.test('shared answers are kept up to a number of bytes, the latest of them', async t => {
  const cache = createResponseCache(1000);
  let made = 0;
  const get = (name: string, bytes: number) =>
    cache.get(name, () => {
      made++;
      return Buffer.alloc(bytes);
    });
  for (let i = 0; i < 1000; i++) get(`answer ${i}`, 100);
  t.equal(cache.size(), 1000);
  t.equal(made, 1000);
  get('answer 999', 100);
  t.equal(made, 1000, 'it was there');
  get('answer 0', 100);
  t.equal(made, 1001, 'it was not there any more');
  t.equal(get('large', 1001).length, 1001);
  t.equal(cache.size(), 1000, 'one that is larger than all room is not kept');
});

t.test('a mass sign-out is read and told in pages, and a verifier follows them all', async t => {
  const service = await startService(t);
  const { base, sql, app } = service;
  const { body: user } = await post(`${base}/auth/sign-up`, newCredentials());
  const { rows } = await sql(
    `INSERT INTO auth.sessions (id, user_id, salt, expires_at, ends_at, token_expires_at)
     SELECT gen_random_uuid(), $1, '\\x00', now() + interval '1 day', now() + interval '1 day', now() + interval '5 minutes'
     FROM generate_series(1, 12000) RETURNING id`,
    [user.user.id],
  );
  const secret = 's'.repeat(43);
  await sql(`INSERT INTO auth.clients (id, secret_hash, scopes) VALUES ('follower', sha256($1), $2)`, [
    Buffer.from(secret),
    [REVOCATIONS_SCOPE],
  ]);
  const client = createAuthClient({ baseUrl: base });
  const { access_token: token } = await client.serviceToken({ id: 'follower', secret });
  const start = await client.revocations(token);
  const verifier = createVerifier({
    issuer: service.config.publicUrl,
    audience: service.config.tokenAudience,
    baseUrl: base,
    client: { id: 'follower', secret },
  });
  t.teardown(() => verifier.close());
  await verifier.verify(user.token);

  await sql('UPDATE auth.sessions SET revoked_at = now()');
  await until(async () => app.revocations.state().size === 12_001, 'all are known');
  await t.rejects(
    (async () => {
      for (;;) {
        await verifier.verify(user.token);
        await new Promise(resolve => setTimeout(resolve, 20));
      }
    })(),
    { code: 'ended_session' },
  );

  const told = new Set<string>();
  const sizes: number[] = [];
  for (let after = start.cursor, more: boolean | undefined = true; more; ) {
    const page = await client.revocations(token, { after });
    for (const { sid } of page.revoked) told.add(sid);
    sizes.push(page.revoked.length);
    [after, more] = [page.cursor, page.more];
  }
  t.ok(rows.every(({ id }) => told.has(id)));
  t.ok(told.has(segment(user.token, 1).sid));
  t.equal(
    sizes.reduce((sum, size) => sum + size),
    12_001,
    'each once',
  );
  t.ok(Math.max(...sizes) <= 5000);
  t.equal((await get(`${base}/auth/verify`, user.token)).status, 401);
});
