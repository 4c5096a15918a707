import t, { type Test } from 'tap';
import type { Config } from '#src/config/settings.js';
import { KEY_LEAD_S, retireKey, rotateKeys } from '#src/keys/rotation.js';
import { advanceNextKey, listKeys } from '#src/keys/stored-keys.js';
import {
  createDatabase,
  get,
  newCredentials,
  post,
  type Service,
  segment,
  startService,
  startWire,
  until,
} from './helper.js';

const origin = { requestId: null, address: null, userAgent: 'test', actor: null };
const token = async ({ base }: Service): Promise<string> =>
  (await post(`${base}/auth/sign-up`, newCredentials())).body.token;
const kidOf = (token: string): string => segment(token, 0).kid;
const published = async ({ base }: Service): Promise<string[]> =>
  (await get(`${base}/.well-known/jwks.json`)).body.keys.map(({ kid }: { kid: string }) => kid);
const accepts = async ({ base }: Service, token: string) => (await get(`${base}/auth/verify`, token)).status === 200;
const states = async ({ app }: Service) => (await listKeys(app.pg)).map(({ state }) => state);

const rotate = ({ app, config }: Service, leadS: number) =>
  app.pg.transact(client => rotateKeys(client, config, leadS, origin));
const retire = ({ app, config }: Service, kid: string, distrust = false) =>
  app.pg.transact(client => retireKey(client, config, { kid, distrust }, origin));

/** Three replicas on one database. */
async function startReplicas(t: Test, overrides: Partial<Config> = {}): Promise<[Service, Service, Service]> {
  const shared = {
    databaseUrl: await createDatabase(),
    authSecrets: [{ id: 'one', key: Buffer.alloc(32, 1) }] as never,
  };
  return Promise.all([1, 2, 3].map(() => startService(t, { ...shared, ...overrides }))) as never;
}

t.test('a rotation: next, active, retired, gone; no replica restarts and no live token is refused', async t => {
  const replicas = await startReplicas(t);
  const [first] = replicas;
  const old = await token(first);
  const kid = await rotate(first, 5);
  t.same(await states(first), ['next', 'active']);
  for (const replica of replicas) {
    await until(async () => (await published(replica)).includes(kid), 'every replica publishes the next key');
    t.equal(kidOf(await token(replica)), kidOf(old), 'and signs with the active one');
  }
  for (const replica of replicas) await until(async () => kidOf(await token(replica)) === kid, 'the next key signs');
  t.same(await states(first), ['active', 'retired']);
  for (const replica of replicas) {
    t.ok(await accepts(replica, old), 'tokens of the retired key are good');
    t.equal((await published(replica)).length, 2);
  }
  await first.sql(`UPDATE auth.signing_keys SET gone_from = now() WHERE kid = $1`, [kidOf(old)]);
  for (const replica of replicas) {
    await until(async () => (await published(replica)).length === 1, 'what is gone is not published');
    t.notOk(await accepts(replica, old));
  }
});

t.test('the times of a rotation outlast caches and tokens', async t => {
  const service = await startService(t);
  await rotate(service, KEY_LEAD_S);
  const { headers } = await get(`${service.base}/.well-known/jwks.json`);
  const maxAge = Number(/max-age=(\d+)/.exec(headers.get('cache-control') ?? '')?.[1]);
  t.ok(KEY_LEAD_S > maxAge);
  const { rows } = await service.sql(
    `SELECT extract(epoch FROM gone_from - retired_from)::int AS overlap FROM auth.signing_keys WHERE gone_from IS NOT NULL`,
  );
  t.ok(rows[0].overlap > service.config.accessTokenTtlS);
  await t.rejects(rotate(service, 0), /is next already; it signs from/);
});

t.test('a next key is dropped, an active one hands over at once', async t => {
  const service = await startService(t);
  const old = await token(service);
  await retire(service, await rotate(service, 600));
  t.same(await states(service), ['active']);
  t.equal((await listKeys(service.app.pg))[0]?.retiredFrom, null, 'the active key goes on');

  await retire(service, kidOf(old));
  await until(async () => kidOf(await token(service)) !== kidOf(old), 'a new key signs');
  t.ok(await accepts(service, old));
  await t.rejects(retire(service, kidOf(old)), /is retired already; its tokens are good until/);
  await t.rejects(retire(service, 'nothing'), /There is no key nothing/);

  await retire(service, kidOf(old), true);
  await t.rejects(retire(service, kidOf(old)), /is gone since .*nothing is left to do/);

  const second = await token(service);
  const next = await rotate(service, 600);
  await retire(service, kidOf(second));
  await until(async () => kidOf(await token(service)) === next, 'the next key begins early');
  t.same(await states(service), ['active', 'retired', 'gone']);
});

t.test('a leaked key vouches for nothing any more, on any replica', async t => {
  const replicas = await startReplicas(t);
  const leaked = await token(replicas[0]);
  for (const replica of replicas) t.ok(await accepts(replica, leaked));
  await retire(replicas[0], kidOf(leaked), true);
  for (const replica of replicas) {
    await until(async () => !(await accepts(replica, leaked)), 'also where it was cached');
    t.notOk((await published(replica)).includes(kidOf(leaked)));
    t.equal((await get(`${replica.base}/auth/me`, leaked)).status, 401);
    t.ok(await accepts(replica, await token(replica)), 'a new key has taken over');
  }
});

t.test('a key is gone on time, also while its replica cannot read the database', async t => {
  const wire = await startWire(t, await createDatabase());
  const service = await startService(t, { databaseUrl: wire.url });
  // Never presented until the key is gone, so that it is in no cache.
  const old = await token(service);
  const kid = await service.app.pg.transact(async client => {
    const next = await rotateKeys(client, service.config, 0, origin);
    await client.query(`UPDATE auth.signing_keys SET gone_from = now() + interval '3 seconds' WHERE kid = $1`, [
      kidOf(old),
    ]);
    return next;
  });
  await until(async () => (await published(service)).includes(kid), 'it has read the times of both keys');
  const young = await token(service);
  t.equal(kidOf(young), kid);
  // From now on it cannot read that the old key is gone: the time alone says so.
  wire.cut();
  await until(async () => !(await published(service)).includes(kidOf(old)), 'the old key is gone');
  t.notOk(await accepts(service, old));
  t.ok(await accepts(service, young), 'the other key vouches for its tokens');
});

t.test('replicas that get no notification find keys and ended sessions by polling', async t => {
  const [first, other] = await startReplicas(t);
  await until(async () => {
    const { rows } = await first.sql(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'auth-service listener' AND datname = current_database()`,
    );
    return rows.length >= 3;
  }, 'they listen');
  await first.sql('ALTER TABLE auth.signing_keys DISABLE TRIGGER USER');
  await first.sql('ALTER TABLE auth.feed_drafts DISABLE TRIGGER feed_drafts_changed');
  await first.sql('ALTER TABLE auth.feed_pages DISABLE TRIGGER feed_pages_changed');
  const kid = await rotate(first, 600);
  const ended = await token(first);
  await first.sql('UPDATE auth.sessions SET revoked_at = now() WHERE id = $1', [segment(ended, 1).sid]);
  await until(async () => (await published(other)).includes(kid), 'polling finds the key');
  await until(async () => !(await accepts(other, ended)), 'and the ended session');
});

t.test('a listener that was cut off listens again', async t => {
  const service = await startService(t);
  const listeners = async () =>
    (
      await service.sql(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'auth-service listener' AND datname = current_database()`,
      )
    ).rows;
  await until(async () => (await listeners()).length === 1, 'it listens');
  const [{ pid }] = await listeners();
  await service.sql('SELECT pg_terminate_backend($1)', [pid]);
  await until(async () => (await listeners()).some(row => row.pid !== pid), 'it listens again');
});

for (const tokenAlgorithm of ['ES256', 'EdDSA', 'RS256'] as const) {
  t.test(`${tokenAlgorithm} by setting`, async t => {
    const service = await startService(t, { tokenAlgorithm });
    const signed = await token(service);
    t.equal(segment(signed, 0).alg, tokenAlgorithm);
    t.ok(await accepts(service, signed));
    const { body } = await get(`${service.base}/.well-known/jwks.json`);
    const { kid, alg, use, ...members } = body.keys[0];
    t.match({ kid, alg, use }, { kid: /^[\w-]{43}$/, alg: tokenAlgorithm, use: 'sig' });
    t.same(
      Object.keys(members).sort(),
      { ES256: ['crv', 'kty', 'x', 'y'], EdDSA: ['crv', 'kty', 'x'], RS256: ['e', 'kty', 'n'] }[tokenAlgorithm],
    );
    const [header, payload, signature = ''] = signed.split('.');
    const last = signature.at(-1) as string;
    for (const other of ['A', 'B', 'Q', 'R', 'g', 'w'].filter(character => character !== last)) {
      t.notOk(await accepts(service, `${header}.${payload}.${signature.slice(0, -1)}${other}`));
    }
  });
}

t.test('another algorithm comes by a rotation, not by a break', async t => {
  const before = await startService(t);
  const old = await token(before);
  const after = await startService(t, { ...before.config, tokenAlgorithm: 'EdDSA' });
  t.same(await states(after), ['next', 'active']);
  t.ok(await accepts(after, old));
  t.equal(segment(await token(after), 0).alg, 'ES256', 'until everybody can know the new key');
  await advanceNextKey(after.app.pg, 900);
  for (const replica of [before, after]) {
    await until(async () => segment(await token(replica), 0).alg === 'EdDSA', 'the new key signs');
    t.ok(await accepts(replica, old));
  }
  await startService(t, after.config);
  t.same(await states(after), ['active', 'retired'], 'a restart changes nothing');
});

t.test('a key that cannot be used stops nobody, but a replica without the active one is not ready', async t => {
  const service = await startService(t);
  const old = await token(service);
  await service.sql(
    `INSERT INTO auth.signing_keys (kid, algorithm, public_jwk, sealed_private_key, secret_id, active_from)
     VALUES ('broken', 'ES256', '{"kty":"EC","kid":"broken","alg":"ES256","use":"sig"}', '', 'one', now() + interval '1 hour')`,
  );
  await retire(service, kidOf(old), true);
  await until(async () => !(await accepts(service, old)), 'the distrusted key is gone all the same');

  const ready = async () => (await get(`${service.base}/readyz`)).status;
  t.equal(await ready(), 200);
  await service.sql(`UPDATE auth.signing_keys SET secret_id = 'gone', kid = kid || 'x'`);
  await until(async () => (await ready()) === 503, 'it says so');
});

t.test('a change of mind about the algorithm drops the next key, and no more', async t => {
  const before = await startService(t);
  const after = await startService(t, { ...before.config, tokenAlgorithm: 'EdDSA' });
  t.same(await states(after), ['next', 'active']);
  await startService(t, before.config);
  t.same(await states(after), ['active']);
  t.equal(segment(await token(after), 0).alg, 'ES256');
});

t.test('a new current secret seals the keys again, and the old one may go', async t => {
  const [old, young] = ['old', 'young'].map(id => ({ id, key: Buffer.alloc(32, id) })) as [never, never];
  const before = await startService(t, { authSecrets: [old] });
  const signed = await token(before);
  const during = await startService(t, { ...before.config, authSecrets: [young, old] });
  t.ok(await accepts(during, signed));
  const after = await startService(t, { ...before.config, authSecrets: [young] });
  t.ok(await accepts(after, signed));
  t.equal(kidOf(await token(after)), kidOf(signed), 'it is the same key');
  t.ok(await accepts(before, await token(after)), 'a replica that has opened it goes on');
  const { rows } = await after.sql(`SELECT details FROM auth.audit_events WHERE event = 'signing_key_resealed'`);
  t.same(rows, [{ details: { kid: kidOf(signed), secretId: 'young' } }]);
});

t.test('a key whose secret is lost is retired, and the service starts again', async t => {
  const before = await startService(t);
  const config: Config = { ...before.config, authSecrets: [{ id: 'two', key: Buffer.alloc(32, 2) }] };
  await t.rejects(startService(t, config), /sealed by the secret "one", which is not in AUTH_SECRETS/);
  const [lost = ''] = await published(before);
  await retire({ ...before, config }, lost);
  const after = await startService(t, config);
  t.same(await states(after), ['active', 'retired']);
  t.equal(segment(await token(after), 0).kid, (await published(after))[0]);
});
