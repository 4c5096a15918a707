import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { foldAddress } from '@latchkey/service-kit/http';
import fc from 'fast-check';
import t from 'tap';
import { loadSettings } from '#src/config/settings.js';
import { createRefusals } from '#src/throttles/limit.js';
import { call, newCredentials, post, type Service, startService } from './helper.js';
import {
  blocks,
  changePassword,
  DEFAULTS,
  from,
  guess,
  guesses,
  newAddress,
  signIn,
  signUp,
  startReplica,
  startThrottled,
  times,
} from './throttled.js';

const BREACHED = createHash('sha1').update('correct horse battery').digest('hex').toUpperCase();

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
  const service = await startThrottled(t, { pair: small, maxWaitS: 2 });
  const [username, address] = [newCredentials().username, newAddress()];
  for (const waitS of [1, 2, 2]) {
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

t.test('what is remembered of the refused is bounded', async t => {
  const refusals = createRefusals();
  const until = performance.now() + 60_000;
  for (let i = 0; i <= 10_000; i++) refusals.add(String(i), until);
  t.equal(refusals.find('0'), undefined);
  t.equal(refusals.find('1'), until);
  refusals.add('gone', performance.now() - 1);
  t.equal(refusals.find('gone'), undefined);
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
