import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import bcrypt from 'bcrypt';
import t from 'tap';
import type { Secrets } from '#src/config/secrets.js';
import { toStoredForm } from '#src/credentials/password/foreign-hashes/stored-form.js';
import { createHashLane } from '#src/credentials/password/hash-lane.js';
import { createPasswords } from '#src/credentials/password/passwords.js';
import { commandLine } from './command-line.js';
import { FOREIGN, PASSWORD } from './foreign-hashes.js';
import { call, newCredentials, post, startService, until } from './helper.js';

const lane = createHashLane({ workers: 2, maxWaitMs: 10_000 });
t.teardown(() => lane.close());
const anybody = { address: undefined, account: undefined, gone: new AbortController().signal };
const make = (secrets: Secrets, cost: number) => createPasswords(secrets, cost, lane);
const [first, second] = ['first', 'second'].map(id => ({ id, key: randomBytes(32) })) as [Secrets[0], Secrets[0]];

t.test('the stored form names its scheme, pepper and cost', async t => {
  const passwords = make([first], 5);
  const stored = await passwords.hash('open sesame', anybody);
  t.match(stored, /^\$bcrypt-hmac-sha384\$k=first\$2b\$05\$[./A-Za-z0-9]{53}$/);
  t.same(await passwords.verify('open sesame', stored, anybody), { matches: true, outdated: false });
  t.same(await passwords.verify('open sesame!', stored, anybody), { matches: false, outdated: false });
});

t.test('a row behind in pepper or cost is outdated, one ahead in cost is not', async t => {
  const stored = await make([first], 5).hash('open sesame', anybody);
  const outdated = async (secrets: Secrets, cost: number) =>
    (await make(secrets, cost).verify('open sesame', stored, anybody)).outdated;
  t.equal(await outdated([first], 6), true);
  t.equal(await outdated([first], 4), false);
  t.equal(await outdated([second, first], 5), true);
});

t.test('a row whose pepper is not at hand does not match, and says so', async t => {
  const stored = await make([first], 4).hash('open sesame', anybody);
  const verdict = await make([second], 4).verify('open sesame', stored, anybody);
  t.same(verdict, { matches: false, outdated: false, unknownPepper: 'first' });
});

t.test('the pepper matters', async t => {
  const impostor = { id: 'first', key: randomBytes(32) };
  const stored = await make([first], 4).hash('open sesame', anybody);
  t.notOk((await make([impostor], 4).verify('open sesame', stored, anybody)).matches);
});

t.test('what is no hash at all does not match', async t => {
  for (const stored of [
    null,
    undefined,
    '',
    'plain text',
    '$2b$04$short',
    '$argon2id$v=19$m=16,t=2,p=1$c2FsdA$aGFzaA',
    // More than a worker may be made to do.
    'pbkdf2_sha256$900000000$Cq3VxqvDKZyJNN5bAGiFZK$gIRi4O1QBsT94u/KlN+M4M2VGvc1Qm1grMGCWZsNZRM=',
  ]) {
    t.same(await make([first], 4).verify('plain text', stored, anybody), { matches: false, outdated: false });
  }
});

// From the test vectors of crypt_blowfish 1.3.
const VECTORS: [password: string, stored: string][] = [
  ['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
  ['U*U*', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'],
  ['U*U*U', '$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a'],
  ['U*U', '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
  ['U*U', '$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
];

t.test('plain bcrypt rows of every variant verify as they are', async t => {
  const passwords = make([first], 4);
  for (const [password, stored] of VECTORS) {
    t.same(await passwords.verify(password, stored, anybody), { matches: true, outdated: true }, stored);
    t.notOk((await passwords.verify(`${password}!`, stored, anybody)).matches);
  }
});

t.test('what plain bcrypt did not read does not become the password', async t => {
  const { base, sql } = await startService(t, { authSecrets: [first] });
  const { username } = newCredentials();
  const password = `${'k'.repeat(72)}the end`;
  await post(`${base}/auth/sign-up`, { username, password: 'something else' });
  await sql('UPDATE auth.users SET password_hash = $1', [await bcrypt.hash(password, 4)]);
  const signIn = async (typed: string) => (await post(`${base}/auth/sign-in`, { username, password: typed })).status;
  t.equal(await signIn(`${'k'.repeat(72)}a typo`), 200, 'bcrypt reads 72 bytes');
  t.equal(await signIn(password), 200, 'and the row is as it was');
});

t.test('sign-in upgrades a row that came from elsewhere', async t => {
  const { base, sql } = await startService(t, { authSecrets: [first], bcryptCost: 5 });
  for (const prefix of ['$2a$', '$2b$', '$2y$']) {
    const { username, password } = newCredentials();
    await post(`${base}/auth/sign-up`, { username, password: 'something else' });
    const foreign = (await bcrypt.hash(password, 4)).replace('$2b$', prefix);
    const stored = async () =>
      (await sql('SELECT password_hash AS hash FROM auth.users WHERE username = $1', [username])).rows[0].hash;
    await sql('UPDATE auth.users SET password_hash = $2 WHERE username = $1', [username, foreign]);

    t.equal((await post(`${base}/auth/sign-in`, { username, password: 'wrong' })).status, 401);
    t.equal(await stored(), foreign, 'a wrong password changes nothing');
    t.equal((await post(`${base}/auth/sign-in`, { username, password })).status, 200);
    const upgraded = await stored();
    t.match(upgraded, /^\$bcrypt-hmac-sha384\$k=first\$2b\$05\$/);
    t.equal((await post(`${base}/auth/sign-in`, { username, password })).status, 200);
    t.equal(await stored(), upgraded, 'once');
  }
});

t.test('a row with an unknown pepper is reported to the operator, not to the caller', async t => {
  const { base, sql, logs } = await startService(t, { authSecrets: [first] });
  const credentials = newCredentials();
  await post(`${base}/auth/sign-up`, credentials);
  await sql("UPDATE auth.users SET password_hash = replace(password_hash, 'k=first', 'k=gone')");
  t.match(await post(`${base}/auth/sign-in`, credentials), { status: 401, body: { code: 'invalid_credentials' } });
  t.match(logs.join(''), /"secretId":"gone".*not in AUTH_SECRETS/);
});

t.test('rows of other software verify as they are', async t => {
  const passwords = make([first], 8);
  for (const [, given] of FOREIGN) {
    const stored = toStoredForm(given);
    t.same(await passwords.verify(PASSWORD, stored, anybody), { matches: true, outdated: true }, stored);
    t.notOk((await passwords.verify(`${PASSWORD}!`, stored, anybody)).matches, stored);
  }
});

t.test('a report counts the accounts by scheme, cost and secret', async t => {
  const service = await startService(t, { authSecrets: [second, first], bcryptCost: 5 });
  const rows = [
    ...[1, 2, 3].map(() => `$bcrypt-hmac-sha384$k=second$2b$05$${'a'.repeat(53)}`),
    ...[1, 2].map(() => `$bcrypt-hmac-sha384$k=first$2b$05$${'a'.repeat(53)}`),
    `$bcrypt-hmac-sha384$k=gone$2b$05$${'a'.repeat(53)}`,
    `$bcrypt-hmac-sha384$k=second$2b$04$${'a'.repeat(53)}`,
    'plain text $ with $ signs',
    null,
    ...FOREIGN.map(([, given]) => toStoredForm(given)),
  ];
  for (const [i, hash] of rows.entries()) {
    await service.sql('INSERT INTO auth.users (id, username, password_hash) VALUES (gen_random_uuid(), $1, $2)', [
      `user-${i}`,
      hash,
    ]);
  }
  const latchkey = commandLine(service);
  const { stdout, code } = await latchkey('passwords report --json');
  t.equal(code, 0);
  const report: Record<string, unknown>[] = JSON.parse(stdout);
  t.equal(
    report.reduce((sum, { accounts }) => sum + Number(accounts), 0),
    rows.length,
  );
  const outdated = 'outdated: hashed again at the next sign-in';
  for (const expected of [
    { scheme: 'bcrypt-hmac-sha384', cost: 5, secret: 'second', accounts: 3, state: 'current' },
    { scheme: 'bcrypt-hmac-sha384', cost: 5, secret: 'first', accounts: 2, state: outdated },
    { scheme: 'bcrypt-hmac-sha384', cost: 4, secret: 'second', accounts: 1, state: outdated },
    { scheme: 'bcrypt-hmac-sha384', secret: 'gone', state: 'cannot sign in: needs the secret "gone"' },
    { scheme: 'unknown', cost: null, accounts: 1, state: 'cannot sign in: unknown form' },
    { scheme: 'none', accounts: 1, state: 'no password' },
    { scheme: 'bcrypt_sha256', cost: 5, state: outdated },
    { scheme: 'argon2id', cost: 'm=65536,t=3,p=4', accounts: 1, state: outdated },
    { scheme: 'pbkdf2_sha256', cost: '1200', secret: null, accounts: 1, state: outdated },
    { scheme: 'scrypt', cost: 'N=32768,r=8,p=1', state: outdated },
  ]) {
    t.hasStrict(
      report.filter(row => Object.entries(expected).every(([name, value]) => row[name] === value)),
      [expected],
      `${expected.scheme} ${expected.cost}`,
    );
  }
  t.notMatch(stdout, /aaaa/);
  t.match((await latchkey('passwords report')).stdout, /bcrypt-hmac-sha384 +5 +second +3 +current/);
});

t.test('the form of a hash is stored beside it, and read where somebody else wrote it', async t => {
  const service = await startService(t, { authSecrets: [second, first], bcryptCost: 5 });
  const { base, sql } = service;
  const credentials = newCredentials();
  const stored = async () =>
    (
      await sql(
        `SELECT hash_form AS form, hash_cost AS cost, hash_secret AS secret, starts_with(password_hash, hash_form) AS fits
         FROM auth.users WHERE username = $1`,
        [credentials.username],
      )
    ).rows[0];
  const write = (hash: string | null) =>
    sql('UPDATE auth.users SET password_hash = $2 WHERE username = $1', [credentials.username, hash]);
  const own = { form: '$bcrypt-hmac-sha384$k=second$2b$05$', cost: 5, secret: 'second', fits: true };

  const { body } = await post(`${base}/auth/sign-up`, credentials);
  t.same(await stored(), own);
  const newPassword = `${credentials.password} again`;
  const changed = await call(`${base}/auth/password`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${body.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ currentPassword: credentials.password, newPassword }),
  });
  t.equal(changed.status, 200);
  t.same(await stored(), own, 'a hash of the same form');

  const older = `$bcrypt-hmac-sha384$k=first$2b$04$${'a'.repeat(53)}`;
  for (const [hash, form] of [
    [older, { form: '$bcrypt-hmac-sha384$k=first$2b$04$', cost: 4, secret: 'first', fits: true }],
    [FOREIGN[0]?.[1], { cost: null, secret: null, fits: true }],
    ['unknown', { form: '', cost: null, secret: null, fits: true }],
    [`$2y$06$${'a'.repeat(53)}`, { form: '$2y$06$', cost: 6, secret: null, fits: true }],
    ['another unknown', { form: '', fits: true }],
    [await bcrypt.hash(newPassword, 4), { form: '$2b$04$', cost: 4 }],
  ] as const) {
    await write(hash as string);
    t.not((await stored()).cost, 5, 'the old form is gone at once');
    await until(async () => (await stored()).form !== null, 'the service reads it');
    t.match(await stored(), form);
  }
  t.equal((await post(`${base}/auth/sign-in`, { ...credentials, password: newPassword })).status, 200);
  t.same(await stored(), own, 'it was hashed again');
  await write(null);
  t.same(await stored(), { form: null, cost: null, secret: null, fits: null });
});

t.test('more hashes than are read at once are read too, by replicas that share them', async t => {
  const service = await startService(t);
  const { sql, config } = service;
  const { databaseUrl, authSecrets } = config;
  const replica = await startService(t, { databaseUrl, authSecrets });
  await sql(
    `INSERT INTO auth.users (id, username, password_hash)
     SELECT gen_random_uuid(), 'many-' || n, '$2b$04$' || repeat('a', 53) FROM generate_series(1, 1201) AS n`,
  );
  const count = async () =>
    (await sql('SELECT count(*)::int AS count FROM auth.users WHERE hash_cost = 4')).rows[0].count;
  await until(async () => (await count()) === 1201, 'all are read');
  const { rows } = await sql('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()');
  t.same(rows, [{ deadlocks: 0 }]);
  t.notMatch(service.logs.join('') + replica.logs.join(''), /cannot read the database/);

  const holder = await replica.app.pg.connect();
  await holder.query(`UPDATE auth.users SET hash_form = NULL WHERE username = 'many-1'`);
  await holder.query('BEGIN');
  await holder.query(`SELECT FROM auth.users WHERE username = 'many-1' FOR UPDATE`);
  const report = JSON.parse((await commandLine(service)('passwords report --json')).stdout);
  t.notOk(
    report.some(({ scheme }: { scheme: string }) => scheme === 'none'),
    'an unread hash is not no password',
  );
  await holder.query('ROLLBACK');
  holder.release();
});

t.test('calibration proposes a cost for a time', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const { stdout, stderr, code } = await latchkey('passwords calibrate --budget 120 --json');
  t.equal(code, 0);
  const { bcryptCost, cores, measured } = JSON.parse(stdout);
  t.ok(bcryptCost >= 10 && bcryptCost <= 20, `${bcryptCost}`);
  t.match(stderr, `BCRYPT_COST=${bcryptCost}`);
  const { medianMs, signInsPerSecond } = measured.find(({ cost }: { cost: number }) => cost === bcryptCost);
  t.ok(Math.abs(signInsPerSecond - (cores * 1000) / medianMs) < 1);
  const tight = await latchkey('passwords calibrate --budget 1');
  t.match(tight, { code: 0, stdout: /^cost +medianMs/, stderr: /BCRYPT_COST=10: .*over the budget/s });
});

t.test('a breached password is refused, without being told to anybody', async t => {
  const asked: string[] = [];
  let misbehave: ((response: ServerResponse) => void) | undefined;
  // Somebody else's service, as it is documented: https://haveibeenpwned.com/API/v3#PwnedPasswords
  const list = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (misbehave) return misbehave(response);
    const [, prefix] = /^\/range\/([0-9A-F]{5})$/.exec(request.url ?? '') ?? [];
    const sha1 = createHash('sha1').update('correct horse battery').digest('hex').toUpperCase();
    const lines = sha1.startsWith(prefix ?? '-') ? [`${sha1.slice(5)}:42`] : [];
    response.end([`${'0'.repeat(35)}:0`, ...lines].join('\r\n'));
  }).listen(0, '127.0.0.1');
  await once(list, 'listening');
  t.teardown(() => {
    list.closeAllConnections();
    list.close();
  });
  const passwordBreachUrl = `http://127.0.0.1:${(list.address() as AddressInfo).port}`;
  const { base, logs } = await startService(t, { passwordBreachUrl, passwordBreachTimeoutMs: 200 });
  const { username } = newCredentials();
  const signUp = (password: string, name = username) => post(`${base}/auth/sign-up`, { username: name, password });

  t.match(await signUp('correct horse battery'), {
    status: 400,
    body: { code: 'password_rejected', errors: [{ pointer: '/password', reason: 'breached' }] },
  });
  await signUp('short');
  t.equal(asked.length, 1, 'what is refused anyway is not asked about');
  t.match(asked[0], /^\/range\/[0-9A-F]{5}$/, 'it is told five characters of a hash');
  const { status, body } = await signUp('open sesame 42');
  t.equal(status, 201);
  const change = await call(`${base}/auth/password`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${body.token}` },
    body: JSON.stringify({ currentPassword: 'open sesame 42', newPassword: 'correct horse battery' }),
  });
  t.match(change.body, { code: 'password_rejected', errors: [{ pointer: '/newPassword', reason: 'breached' }] });

  const elsewhere = { location: `${passwordBreachUrl}/elsewhere` };
  const line = `${'0'.repeat(35)}:1\r\n`.repeat(1000);
  const endless = function* () {
    for (;;) yield line;
  };
  const troubles: [name: string, misbehave: (response: ServerResponse) => void, message: RegExp][] = [
    ['that is slow', () => undefined, /timeout/],
    ['that sends elsewhere', response => response.writeHead(302, elsewhere).end(), /fetch failed/],
    ['without an end', response => void Readable.from(endless()).pipe(response), /larger than a list can be/],
    ['that is broken', response => response.writeHead(500).end(), /responded 500/],
  ];
  for (const [name, trouble, message] of troubles) {
    misbehave = trouble;
    logs.length = 0;
    const { status } = await signUp('correct horse battery', newCredentials().username);
    t.equal(status, 201, `a list ${name} stands in nobody’s way`);
    const told = logs.map(text => JSON.parse(text)).find(({ event }) => event === 'breach_check_failed');
    t.match(told?.err.message, message, name);
  }
  t.notOk(asked.includes('/elsewhere'), 'nobody else is asked');
  t.notMatch(logs.join(''), /correct horse/);
});
