import { randomUUID } from 'node:crypto';
import { createAuthClient, createVerifier } from '@latchkey/auth-client';
import { createSessionExpiries, PACKED_LENGTH, REVOCATIONS_SCOPE, type Revocation } from '@latchkey/user-schema';
import fc from 'fast-check';
import pg from 'pg';
import t from 'tap';
import { createOutageWatch } from '#src/database/outage.js';
import { parseCursor } from '#src/revocations/cursor.js';
import { createResponseCache } from '#src/revocations/response-cache.js';
import { createRevocationLog } from '#src/revocations/revocation-log.js';
import { PAGE_SIZE, pageRevocations, type StoredPage } from '#src/revocations/stored-pages.js';
import { unpack } from '#src/revocations/unpack.js';
import { get, newCredentials, post, segment, startService, until } from './helper.js';

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
const pack = (revocations: Revocation[]) =>
  Buffer.concat(
    revocations.map(({ sid, exp }) => {
      const packed = Buffer.from(`${sid.replaceAll('-', '')}00000000`, 'hex');
      packed.writeUInt32BE(exp, 16);
      return packed;
    }),
  );
const pageOf = (position: number, revocations: Revocation[]): StoredPage => ({
  position,
  packed: pack(revocations),
  expiresAt: Math.max(...revocations.map(({ exp }) => exp)),
});
const sidsOf = (packed: Buffer) => unpack(packed).map(({ sid }) => sid);
const ending = (count: number, exp: number): Revocation[] =>
  Array.from({ length: count }, () => ({ sid: randomUUID(), exp }));

t.test('a reader of the log gets all of it, in pages, from any position', async t => {
  const sizes = fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 30 });
  fc.assert(
    fc.property(sizes, fc.nat(), fc.integer({ min: 1, max: 5 }), (sizes, at, cut) => {
      const log = createRevocationLog();
      const pages = sizes.map((size, i) => pageOf(2 * i + 1, ending(size, inSeconds(60))));
      for (let i = 0; i < pages.length; i += cut) {
        const part = pages.slice(i, i + cut);
        log.append(part, (part.at(-1) as StoredPage).position, inSeconds(0));
      }
      const start = at % (2 * sizes.length + 2);
      const read: string[] = [];
      for (let position = start, more = true; more; ) {
        const { packed, end, hasMore } = log.after(position, PAGE_SIZE);
        const sids = sidsOf(packed);
        t.ok(sids.length <= PAGE_SIZE);
        read.push(...sids);
        [position, more] = [end, hasMore];
      }
      const expected = pages.filter(({ position }) => position > start).flatMap(({ packed }) => sidsOf(packed));
      t.ok(read.length === expected.length && read.every((sid, i) => sid === expected[i]));
    }),
    { numRuns: 50 },
  );
});

t.test('the log forgets what is in force no more, a share at a time, and nothing else', async t => {
  const log = createRevocationLog();
  const over = Array.from({ length: 5 }, (_, i) => pageOf(i + 1, ending(PAGE_SIZE, inSeconds(-301))));
  const live = ending(10, inSeconds(60));
  log.append([...over, pageOf(6, live)], 6, inSeconds(0));
  t.equal(log.size(), 25_010);
  log.prune();
  t.ok(log.size() > 10, 'not all at once');
  for (let i = 0; i < 63; i++) log.prune();
  t.equal(log.size(), 10);
  t.equal(sidsOf(log.after(0, PAGE_SIZE).packed).length, 10);
  for (const { sid } of live) t.ok(log.has(sid));
});

t.test('what a restarted log has not been told again is missing', async t => {
  const log = createRevocationLog();
  const [kept, lost, own] = ending(3, inSeconds(60)) as [Revocation, Revocation, Revocation];
  const [expired] = ending(1, inSeconds(-301)) as [Revocation];
  log.append([pageOf(1, [kept]), pageOf(2, [lost]), pageOf(3, [expired])], 3, inSeconds(0));
  log.add([own]);
  log.restart();
  t.equal(log.after(0, PAGE_SIZE).packed.length, 0, 'positions of before are good for nothing');
  for (const { sid } of [kept, lost, own]) t.ok(log.has(sid), 'but what has ended remains ended');
  log.append([pageOf(1, [kept])], 1, inSeconds(0));
  t.same(new Set(unpack(log.missing())), new Set([lost, own]));
  log.settle();
  t.equal(log.missing().length, 0);
  for (const { sid } of [kept, lost, own]) t.ok(log.has(sid));
});

t.test('cursors of the version before are taken, and get everything', async t => {
  t.same(parseCursor('0123456789ab.17~AbC-_'), { life: '0123456789ab', position: 17, keys: 'AbC-_' });
  t.match(parseCursor(`0123456789ab.17.${randomUUID()}~AbC`), { life: '0123456789ab' });
  for (const text of ['', '0123456789ab', '0123456789ab.x~', `0123456789ab.${'1'.repeat(16)}~`]) {
    t.equal(parseCursor(text), undefined, text);
  }
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

t.test('shared responses are kept up to a number of bytes, the latest of them', async t => {
  const cache = createResponseCache(1000);
  let made = 0;
  const get = (name: string, bytes: number) =>
    cache.get(name, () => {
      made++;
      return Buffer.alloc(bytes);
    });
  for (let i = 0; i < 1000; i++) get(`response ${i}`, 100);
  t.equal(cache.size(), 1000);
  t.equal(made, 1000);
  get('response 999', 100);
  t.equal(made, 1000, 'it was there');
  get('response 0', 100);
  t.equal(made, 1001, 'it was not there any more');
  t.equal(get('large', 1001).length, 1001);
  t.equal(cache.size(), 1000, 'one that is larger than all room is not kept');
});

t.test('drafts are moved as many at once as one transaction may take, and in order', async t => {
  const { app, config } = await startService(t);
  await app.close();
  const db = new pg.Client(config.databaseUrl);
  await db.connect();
  t.teardown(() => db.end());
  const draft = (count: number, bytes: number) =>
    db.query(
      `INSERT INTO auth.feed_drafts (batch, n, packed, expires_at)
       SELECT gen_random_uuid(), 0, decode(repeat('00', $2), 'hex'), now() FROM generate_series(1, $1)`,
      [count, bytes],
    );
  const left = async () => (await db.query('SELECT count(*)::int AS count FROM auth.feed_drafts')).rows[0].count;
  await draft(1, 20);
  t.equal(await pageRevocations(db), false, 'nothing is left, so nobody asks again at once');
  t.equal(await pageRevocations(db), false);
  await draft(1500, 20);
  t.equal(await pageRevocations(db), true);
  t.equal(await left(), 500);
  t.equal(await pageRevocations(db), false);
  await draft(50, 50_000);
  t.equal(await pageRevocations(db), true);
  t.equal(await left(), 10);
  const { rows } = await db.query(
    'SELECT position::int, octet_length(packed) AS length FROM auth.feed_pages ORDER BY 1',
  );
  t.same(
    rows.map(({ position }) => position),
    rows.map((_, i) => i + 1),
  );
  t.ok(rows.every(({ length }) => length <= PAGE_SIZE * PACKED_LENGTH));
});

t.test('a mass sign-out is read and told in pages, and a verifier follows them all', async t => {
  const service = await startService(t);
  const { base, sql, app } = service;
  const { body: user } = await post(`${base}/auth/sign-up`, newCredentials());
  const { rows } = await sql(
    `INSERT INTO auth.sessions (id, user_id, salt, expires_at, ends_at, token_expires_at)
     SELECT gen_random_uuid(), $1, '\\x00', now() + interval '1 day', now() + interval '1 day', now() + random() * interval '5 minutes'
     FROM generate_series(1, 30000) RETURNING id, floor(extract(epoch FROM token_expires_at))::float8 AS exp`,
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
  await until(async () => app.revocations.state().size === 30_001, 'all are known');
  await t.rejects(
    (async () => {
      for (;;) {
        await verifier.verify(user.token);
        await new Promise(resolve => setTimeout(resolve, 20));
      }
    })(),
    { code: 'ended_session' },
  );

  for (const packed of [false, true]) {
    const told = createSessionExpiries();
    const expiries = new Map<string, number>();
    const sizes: number[] = [];
    for (let after = start.cursor, more: boolean | undefined = true; more; ) {
      const page = await client.revocations(token, { after, packed });
      t.equal(page.packed !== undefined, packed);
      if (packed) t.same(page.revoked, []);
      const before = told.size();
      for (const { sid, exp } of page.revoked) told.set(sid, exp);
      told.addPacked(Buffer.from(page.packed ?? '', 'base64'));
      sizes.push(told.size() - before);
      [after, more] = [page.cursor, page.more];
    }
    for (const { sid, exp } of unpack(Buffer.from(told.pack(0)))) expiries.set(sid, exp);
    t.ok(rows.every(({ id, exp }) => expiries.get(id) === exp));
    t.ok(told.has(segment(user.token, 1).sid));
    t.equal(
      sizes.reduce((sum, size) => sum + size),
      30_001,
      'each once',
    );
    t.ok(Math.max(...sizes) <= (packed ? 4 : 1) * PAGE_SIZE && sizes.length <= 20, `${sizes}`);
  }
  t.equal((await get(`${base}/auth/verify`, user.token)).status, 401);
});
