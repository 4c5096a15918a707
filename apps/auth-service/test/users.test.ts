import { pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BadRowError, readAccount } from '#src/cli/transfer/account-row.js';
import { SOURCES } from '#src/cli/transfer/sources.js';
import { readForeignHash } from '#src/credentials/password/foreign-hashes/index.js';
import { commandLine, startLatchkey } from './command-line.js';
import { AUTH0, FIREBASE, FOREIGN, KEYCLOAK, PASSWORD } from './foreign-hashes.js';
import { get, newCredentials, post, type Service, startService, until } from './helper.js';

const BCRYPT = '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW';
const [[, PBKDF2], [, SHA1]] = FOREIGN as [[string, string], [string, string]];

const toNdjson = (rows: unknown[]) => rows.map(row => `${JSON.stringify(row)}\n`).join('');
const signIn = ({ base }: Service, username: string, password: string) =>
  post(`${base}/auth/sign-in`, { username, password });
const importEvents = async ({ sql }: Service) =>
  (await sql(`SELECT details FROM auth.audit_events WHERE event = 'users_imported' ORDER BY id`)).rows.map(
    ({ details }) => details,
  );
const hashOf = async ({ sql }: Service, username: string) =>
  (await sql('SELECT password_hash AS hash FROM auth.users WHERE username = $1', [username])).rows[0]?.hash;

t.test('accounts of other software move in, sign in, and are upgraded by it', async t => {
  const service = await startService(t, { bcryptCost: 5 });
  const latchkey = commandLine(service);
  const rows = FOREIGN.map(([, passwordHash], i) => ({ username: `foreign-${i}@example.com`, passwordHash }));
  const imported = await latchkey('users import - --json', toNdjson(rows));
  t.match(imported, { code: 0, stderr: '' });
  t.match(JSON.parse(imported.stdout), { rows: rows.length, added: rows.length, rejected: 0, conflicts: 0 });
  for (const { username, passwordHash } of rows) {
    const before = await hashOf(service, username);
    t.equal((await signIn(service, username, 'wrong password')).status, 401, passwordHash);
    t.equal(await hashOf(service, username), before, 'a wrong password changes nothing');
    t.equal((await signIn(service, username, PASSWORD)).status, 200, passwordHash);
    const upgraded = await hashOf(service, username);
    t.match(upgraded, /^\$bcrypt-hmac-sha384\$k=one\$2b\$05\$/);
    t.equal((await signIn(service, username, PASSWORD)).status, 200);
    t.equal(await hashOf(service, username), upgraded, 'once');
  }
  t.notMatch(service.logs.join(''), /"level":[56]0/);
});

t.test('a hash takes no longer than its settings say, however long it is', async t => {
  const matches = (digest: Buffer) =>
    readForeignHash(`pbkdf2:sha1:1000$salt$${digest.toString('hex')}`)?.matches(PASSWORD);
  const digest = pbkdf2Sync(PASSWORD, 'salt', 1000, 128, 'sha1');
  t.equal(matches(digest), true);
  t.equal(matches(digest.map((byte, i) => (i === 19 ? byte ^ 1 : byte)) as Buffer), false);
  t.equal(matches(digest.map((byte, i) => (i === 20 ? byte ^ 1 : byte)) as Buffer), true, 'only a block is computed');
  t.match(readForeignHash(`scrypt:2:1:900000$salt$${'ab'.repeat(32)}`)?.excess, /takes longer than bcrypt/);
});

t.test('Firebase accounts move in with the parameters of their project', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const { signerKey, options, password, ...hashes } = FIREBASE;
  const keyFile = join(t.testdir({ key: `${signerKey}\n` }), 'key');
  const file = toNdjson([{ username: 'firebase@example.com', ...hashes }]);
  const without = await latchkey('users import -', file);
  t.match(without, { code: 1, stderr: /Line 1 has a salt, as Firebase’s rows have.*--firebase-signer-key-file/ });
  const command = `users import - --firebase-signer-key-file ${keyFile} ${options}`;
  t.match(await latchkey(command, file), { code: 0, stderr: '' });
  t.match(await hashOf(service, 'firebase@example.com'), /^\$firebase-scrypt\$ln=14,r=8\$/);
  const { rows } = await service.sql('SELECT password_hash AS hash FROM auth.users');
  t.notMatch(rows[0].hash, signerKey.slice(0, 40), 'the signer key is not in the database');
  t.equal((await signIn(service, 'firebase@example.com', 'wrong password')).status, 401);
  t.equal((await signIn(service, 'firebase@example.com', password)).status, 200);
  t.match(await hashOf(service, 'firebase@example.com'), /^\$bcrypt-hmac-sha384/);
});

t.test('exports of Keycloak, Auth0 and Supabase are read as they are', async t => {
  const service = await startService(t, { bcryptCost: 5 });
  const latchkey = commandLine(service);
  const me = async (username: string, password: string) => (await signIn(service, username, password)).body.user;

  t.match(await latchkey('users import - --from keycloak', toNdjson(KEYCLOAK)), { code: 0, stderr: '' });
  for (const [i, { id, username }] of KEYCLOAK.entries()) {
    const { status, body } = await signIn(service, username, PASSWORD);
    t.equal(status, i === 1 ? 401 : 200, `${username} is ${i === 1 ? 'disabled' : 'enabled'}`);
    if (i !== 1) t.match(body.user, { id, email: i === 0 ? 'keycloak-0@example.com' : null, createdAt: /^2024-05-06/ });
  }
  t.match(await me('keycloak-0@example.com', PASSWORD), { username: 'keycloak-0' }, 'a verified address signs in');
  t.equal((await signIn(service, 'keycloak-2@example.com', PASSWORD)).status, 401, 'one that is not does not');

  const bcrypt = (FOREIGN.find(([, hash]) => hash.startsWith('bcrypt$')) as [string, string])[1].slice(
    'bcrypt$'.length,
  );
  const auth0 = toNdjson(AUTH0.map(row => ({ ...row, passwordHash: bcrypt })));
  t.match(await latchkey('users import - --from auth0', auth0), { code: 0, stderr: '' });
  t.match(await me('ada@example.com', PASSWORD), { username: 'ada@example.com', email: 'ada@example.com' });
  t.match(await me('bea@example.com', PASSWORD), { username: 'bea@example.com', email: null });

  const supabase = [
    'instance_id,id,aud,email,encrypted_password,email_confirmed_at,created_at,banned_until,deleted_at',
    `0,843f3935-9ccc-4c5f-9040-2d374bf61e9e,authenticated,eve@example.com,${bcrypt},2024-05-06 07:08:09+00,2024-05-06 07:08:09+00,,`,
    `0,843f3935-9ccc-4c5f-9040-2d374bf61e9f,authenticated,fay@example.com,${bcrypt},,2024-05-06 07:08:09+00,9999-05-06 07:08:09+00,`,
    `0,843f3935-9ccc-4c5f-9040-2d374bf61ea0,authenticated,gus@example.com,${bcrypt},,2024-05-06 07:08:09+00,infinity,`,
    `0,843f3935-9ccc-4c5f-9040-2d374bf61ea1,authenticated,hal@example.com,${bcrypt},,2024-05-06 07:08:09+00,,2024-06-01 00:00:00+00`,
    `0,843f3935-9ccc-4c5f-9040-2d374bf61ea2,authenticated,ida@example.com,${bcrypt},,2024-05-06 07:08:09+00,2024-06-01 00:00:00+00,`,
  ].join('\n');
  t.match(await latchkey('users import - --format csv --from supabase', supabase), { code: 0, stderr: '' });
  t.match(await me('eve@example.com', PASSWORD), {
    ...{ id: '843f3935-9ccc-4c5f-9040-2d374bf61e9e', email: 'eve@example.com' },
  });
  t.equal((await signIn(service, 'ida@example.com', PASSWORD)).status, 200, 'a ban is over');
  for (const name of ['fay', 'gus', 'hal']) {
    t.equal((await signIn(service, `${name}@example.com`, PASSWORD)).status, 401, 'who is banned or deleted stays so');
  }

  const [first] = KEYCLOAK as [(typeof KEYCLOAK)[number]];
  const odd = (credentialData: string) => ({
    ...first,
    ...{ id: undefined, username: 'odd', credentials: [{ ...first.credentials[0], credentialData }] },
  });
  const mistakes = toNdjson([
    odd('{"hashIterations":1,"algorithm":"sha512","additionalParameters":{}}'),
    odd('{"hashIterations":900000000,"algorithm":"pbkdf2","additionalParameters":{}}'),
    odd('not JSON'),
    {
      ...first,
      id: undefined,
      username: 'odd',
      credentials: [{ ...first.credentials[0], secretData: '{"value":"eA=="}' }],
    },
    { ...first, id: '11111111-2222-4333-8444-666666666666', username: 'other' },
    { ...first, id: undefined, username: 'odd', createdTimestamp: 1e20 },
    { ...first, id: undefined, username: 'bare', email: undefined, credentials: [null] },
  ]);
  const { code, stderr } = await latchkey('users import - --from keycloak', mistakes);
  t.equal(code, 1);
  t.match(stderr, /Line 1 has a passwordHash that is of no form that is known here: it begins with \{sha512\}\./);
  t.match(stderr, /Line 2 has .* takes longer than bcrypt of cost 14/);
  t.match(stderr, /Line 3 has a passwordHash that is of no form/);
  t.match(stderr, /Line 4 has a passwordHash that is of no form/, 'without a salt');
  t.match(stderr, /Line 5 has the email of another account/);
  t.match(stderr, /Line 6 has no valid createdAt/);
  t.notMatch(stderr, /Line 7/, 'an account without a password');
});

t.test('no value of a row ends an import', async t => {
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  const hostile = ['{"toString":null,"valueOf":null}', deep, '[]', '{}', '[null]', 'true', '1e999', '-1', '""', 'null'];
  const [keycloak] = KEYCLOAK;
  const [hash] = keycloak?.credentials ?? [];
  const rows: Record<string, object> = {
    own: { username: 'ada', passwordHash: null, id: null, email: null, createdAt: null, disabled: false, salt: null },
    auth0: { ...AUTH0[0], username: 'ada', email: 'ada@example.com', passwordHash: null, blocked: false },
    keycloak: { ...keycloak },
    supabase: { email: 'ada@example.com', encrypted_password: '', created_at: '', banned_until: '', deleted_at: '' },
  };
  const read = (from: string, members: Record<string, unknown>) => {
    const translate = SOURCES[from]?.read;
    try {
      readAccount({ line: 1, members }, { secretIds: [], bcryptCost: 4, ...(translate && { translate }) });
    } catch (error) {
      if (!(error instanceof BadRowError)) t.fail(`${from}: ${error}`, { members: Object.keys(members) });
    }
  };
  for (const [from, row] of Object.entries(rows)) {
    for (const name of Object.keys(row)) for (const json of hostile) read(from, { ...row, [name]: JSON.parse(json) });
  }
  const settings = JSON.parse(hash?.credentialData ?? '');
  const argon2 = { type: ['id'], version: ['1.3'], memory: ['7168'], parallelism: ['1'] };
  for (const json of hostile) {
    const value = JSON.parse(json);
    read('auth0', { ...AUTH0[0], created_at: { $date: value } });
    const holding = (settings: object) => JSON.stringify(settings).replace('"?"', json);
    for (const credential of [
      ...[value, { ...hash, secretData: value }, { ...hash, credentialData: value }],
      ...Object.keys(settings).map(name => ({ ...hash, credentialData: holding({ ...settings, [name]: '?' }) })),
      ...Object.keys(argon2).map(name => {
        const additionalParameters = { ...argon2, [name]: ['?'] };
        return { ...hash, credentialData: holding({ algorithm: 'argon2', hashIterations: 5, additionalParameters }) };
      }),
    ]) {
      read('keycloak', { ...keycloak, credentials: [credential] });
    }
  }
});

t.test('what an export says of an account in an unknown way is refused, not guessed', async t => {
  const service = await startService(t);
  const refused = async (from: string, row: object) => {
    const { code, stderr } = await commandLine(service)(`users import - --from ${from} --dry-run`, toNdjson([row]));
    return { code, stderr };
  };
  const code = 1;
  t.match(await refused('keycloak', { ...KEYCLOAK[0], enabled: 'no' }), {
    code,
    stderr: /no valid enabled: true or false/,
  });
  t.match(await refused('keycloak', { ...KEYCLOAK[0], serviceAccountClientId: 'x' }), { code, stderr: /of a service/ });
  t.match(await refused('keycloak', { ...KEYCLOAK[0], credentials: [{ type: 'otp' }] }), {
    ...{ code: 0, stderr: /^1 of these accounts have a second factor there, which is not imported/ },
  });
  const confirmed = { email: 'a@b.example', email_confirmed_at: 'never' };
  t.match(await refused('supabase', confirmed), {
    code,
    stderr: /no valid email_confirmed_at/,
  });
  t.match(await refused('supabase', { email: '', encrypted_password: null }), {
    code,
    stderr: /Line 1 has no address/,
  });
  t.match(await commandLine(service)('users import realm.json --from keycloak'), {
    ...{ code, stderr: /jq -c '\.users\[\]' realm\.json \| latchkey users import - --from keycloak/ },
  });
  t.match(await refused('keycloak', { ...KEYCLOAK[0], createdTimestamp: 'May' }), {
    code,
    stderr: /no valid createdAt/,
  });
  t.match(await refused('auth0', { ...AUTH0[0], passwordHash: null, blocked: 'yes' }), {
    code,
    stderr: /no valid blocked/,
  });
  t.match(await refused('supabase', { email: 'a@b.example', banned_until: {} }), {
    code,
    stderr: /no valid banned_until/,
  });
});

t.test('rows that are not valid accounts are reported by line and reason, without their content', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const user = (username: string, more: object) => ({ username, passwordHash: BCRYPT, ...more });
  const argon2 = (parameters: string) => ({
    passwordHash: `$argon2id$v=19$${parameters}$c2FsdHNhbHRzYWx0MTIzNA$hbJSZJjurw+mC1wo8eJcHtC6LSZrsGstJToPHT4VOX4`,
  });
  const scrypt = (parameters: string) => ({ passwordHash: `scrypt:${parameters}$salt$${'ab'.repeat(64)}` });
  const cases: [row: unknown, reason: RegExp | undefined][] = [
    [user('fine.1', {}), undefined],
    [user('x y', {}), /has no valid username/],
    [user('nul\0l', {}), /has no valid username/],
    [{ username: BCRYPT, passwordHash: 'ada' }, /has no valid username/],
    [{ username: 'ada' }, /has no passwordHash/],
    [user('ada', { passwordHash: 42 }), /has a passwordHash that is not text/],
    [user('ada', { passwordHash: 'hunter2-canary' }), /is of no form that is known here/],
    [user('ada', { passwordHash: 'sha1$salt$0c49fbcdbfc1a5b4c8d0b1a5b4c8d0b1a5b4c8d0' }), /is of no form/],
    [user('ada', { passwordHash: `${PBKDF2}$more` }), /is of no form/],
    [user('ada', { passwordHash: 'pbkdf2:sha256:1000$salt$ab' }), /is of no form/],
    [user('ada', { passwordHash: BCRYPT.replace('05', '99') }), /is of no form/],
    [user('ada', { passwordHash: BCRYPT.replace('05', '31') }), /has bcrypt cost 31; 14 is the most/],
    [user('ada', { passwordHash: `$bcrypt-hmac-sha384$k=gone${BCRYPT}` }), /needs the secret "gone"/],
    [user('ada', { passwordHash: PBKDF2.replace('1200', '900000000') }), /takes longer than bcrypt of cost 14/],
    [user('ada', { passwordHash: PBKDF2.replace('1200', '0') }), /which is impossible/],
    [user('ada', argon2('m=4194304,t=1,p=1')), /needs more than 128 MiB/],
    [user('ada', argon2('m=65536,t=9999999,p=1')), /takes longer/],
    [user('ada', argon2('m=8,t=1,p=4')), /which is impossible/],
    [user('ada', scrypt('1048576:8:1')), /needs more than 128 MiB/],
    [user('ada', scrypt('1023:8:1')), /which is impossible/],
    [user('ada', scrypt('2:1:999999999')), /needs more than 128 MiB/],
    [user('ada', { id: 7 }), /has an id that is not a UUID/],
    [user('ada', { createdAt: '2024-02-30T00:00:00Z' }), /has no valid createdAt: an RFC 3339 time/],
    [user('ada', { createdAt: 'soon' }), /has no valid createdAt: an RFC 3339 time/],
    [user('ada', { disabled: 'perhaps' }), /has no valid disabled: true or false/],
    [user('ada', { email: 'ada' }), /has an email that is no e-mail address/],
    [user('ada', { phone: '555' }), /has an unknown member: phone/],
    [
      user('ada', { passwordHash: `$6$salt$${'x'.repeat(86)}` }),
      /is of no form that is known here: it begins with \$6\$\./,
    ],
    [user('ada', { passwordHash: '{noop}canary' }), /it begins with \{noop\}\./],
    [user('ada', { passwordHash: '{pbkdf2}canary' }), /it begins with \{pbkdf2\}\./],
    [user('ada', { passwordHash: 'scrypt$1000$salt$8$1$YWJjZGVmZ2hpamtsbW5vcA==' }), /is of no form/],
    [user('ada', { passwordHash: '$scrypt$ln=20,r=8,p=1$c2FsdA$YWJjZGVmZ2hpamtsbW5vcA' }), /needs more than 128 MiB/],
    [
      user('ada', { passwordHash: '$bcrypt-sha256$2b,31$kW3YG9W9MjOo2U.tVhcDL.$5KJeqKfOtAaJN3zAObC1.NtimExwZQu' }),
      /takes longer/,
    ],
    [['ada', BCRYPT], /is not a JSON object/],
    [user('long', { passwordHash: 'a'.repeat(1_000_000) }), /is longer than 65536 bytes/],
    [user('fine.2', { passwordHash: null, disabled: true, createdAt: '2024-05-06 07:08:09.123456+02' }), undefined],
    [user('unusable', { passwordHash: '!Ab3dEf', id: '' }), undefined],
    [user('FINE.1', {}), /has the username of another account/],
  ];
  const { code, stdout, stderr } = await latchkey(
    'users import - --json',
    `${toNdjson(cases.map(([row]) => row))}not json canary\n`,
  );
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { rows: cases.length + 1, added: 3, unchanged: 0, conflicts: 1, dryRun: false });
  const lines = stderr.split('\n').slice(0, -1);
  const told = new Map(lines.map(line => [Number(/^Line (\d+)/.exec(line)?.[1]), line]));
  t.same(
    [...told.keys()],
    [...told.keys()].sort((a, b) => a - b),
    'in the order of the lines',
  );
  for (const [i, [, reason]] of cases.entries()) {
    if (reason) t.match(told.get(i + 1), reason);
    else t.notOk(told.has(i + 1), `line ${i + 1} is fine`);
  }
  t.match(told.get(cases.length + 1), /is not JSON/);
  t.notMatch(stderr, /canary|CCCCC|^ +at /m);
  const { rows } = await service.sql(
    `SELECT username, password_hash AS hash, disabled_at IS NOT NULL AS disabled, created_at AS at
     FROM auth.users ORDER BY username`,
  );
  t.match(rows, [
    { username: 'fine.1', hash: BCRYPT, disabled: false },
    { username: 'fine.2', hash: null, disabled: true, at: new Date('2024-05-06T05:08:09.123Z') },
    { username: 'unusable', hash: null },
  ]);
  t.match(await importEvents(service), [{ rows: cases.length + 1, added: 3, conflicts: 1 }]);
});

t.test(
  'a warning comes before rows are added that cost more than new hashes: they slow every sign-in down',
  async t => {
    const service = await startService(t, { bcryptCost: 4 });
    const row = { username: newCredentials().username, passwordHash: BCRYPT };
    const holder = await service.app.pg.pool.connect();
    await holder.query('BEGIN; LOCK TABLE auth.users IN SHARE MODE');
    const child = startLatchkey(service, 'users import -');
    child.stdin.end(toNdjson([row]));
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text;
    });
    const ended = once(child, 'close');
    await until(
      async () => /rows of bcrypt cost 5: every sign-in takes 2 times as long as with BCRYPT_COST=4/.test(stderr),
      'the warning',
    );
    t.equal(await hashOf(service, row.username), undefined, 'nothing is added yet');
    await holder.query('ROLLBACK');
    holder.release();
    t.same(await ended, [0, null]);
    t.equal(await hashOf(service, row.username), BCRYPT);
    t.equal(stderr.match(/bcrypt cost 5/g)?.length, 1, 'once');
    const latchkey = commandLine(service);
    t.match(await latchkey('users import -', toNdjson([row]), { BCRYPT_COST: '5' }), { code: 0, stderr: '' });
  },
);

t.test('CSV is read by RFC 4180, up to a misplaced quote', async t => {
  const service = await startService(t, { bcryptCost: 5 });
  const latchkey = commandLine(service);
  const names = async () =>
    (await service.sql('SELECT username FROM auth.users ORDER BY 1')).rows.map(({ username }) => username);
  const csv = (text: string, options = '') => latchkey(`users import - --format csv${options}`, text);
  const argon2 = FOREIGN.find(([, stored]) => stored.startsWith('$argon2'))?.[1];

  const fine = `\uFEFFpasswordHash,username,disabled\r\n"${argon2}","ada",\r\n\r\n${BCRYPT},bob,t\r\n`;
  t.match(await csv(fine), { code: 0, stderr: '' });
  t.same(await names(), ['ada', 'bob']);

  const injected = `username,passwordHash\n"eve\nroot,${BCRYPT}\n",${BCRYPT}\ncarl,${BCRYPT},more\ndora,${BCRYPT}\n`;
  const told = await csv(injected);
  t.match(told, {
    code: 1,
    stderr: /Line 4 has no valid username.+\nLine 5 has 3 columns, but the first line names 2/,
  });
  t.same(await names(), ['ada', 'bob', 'dora'], 'a field with a line of its own is no row');

  for (const broken of [`"eve\\"s"`, `"eve`]) {
    const text = `username,passwordHash\nfrank${broken.length},${BCRYPT}\n${broken}\nroot,${BCRYPT}\n`;
    t.match(await csv(text), { code: 1, stderr: /has a quote .*the rest of the file was not read/ });
  }
  t.same(await names(), ['ada', 'bob', 'dora', 'frank4', 'frank8'], 'what stands before it is in, and nothing behind');
  t.match(await csv(`username,passwordHash\n"${'a'.repeat(1_000_000)}`), {
    code: 1,
    stderr: /is longer than 65536 bytes/,
  });

  t.match(await csv(''), { code: 1, stderr: /The file is empty/ });
  for (const [first, reason, options] of [
    ['username;passwordHash', /an unknown column: column 1\. It must name the columns/],
    ['username,password_hash', /an unknown column: column 2 \("password_hash"\)/],
    ['username,disabled', /lacks a required column/],
    ['username,passwordHash,username', /names a column twice/],
    [`ada,${BCRYPT}`, /an unknown column: column 1/],
    ['username,passwordHash,username', /names a column twice/, ' --from supabase'],
  ] as const) {
    const { code, stdout, stderr } = await csv(`${first}\nada,${BCRYPT}\n`, options);
    t.match({ code, stdout }, { code: 1, stdout: '' });
    t.match(stderr, reason);
    t.notMatch(stderr, /CCCCC|^ +at /m);
  }
});

t.test('an import changes no existing account', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const run = async (rows: unknown[], options = '') => {
    const { stdout, stderr, code } = await latchkey(`users import - --json${options}`, toNdjson(rows));
    return { ...JSON.parse(stdout), stderr, code };
  };
  const id = '018f0000-0000-7000-8000-000000000001';
  const rows = [
    { username: 'ada', passwordHash: PBKDF2, id },
    { username: 'bob', passwordHash: SHA1 },
  ];
  const state = async () => (await service.sql('SELECT * FROM auth.users ORDER BY username')).rows;
  t.match(await run(rows, ' --dry-run'), { added: 2, conflicts: 0, code: 0, dryRun: true });
  t.same(await state(), []);
  t.same(await importEvents(service), []);
  t.match(await run(rows), { added: 2, code: 0 });
  const before = await state();
  for (const options of ['', ' --dry-run']) {
    t.match(await run(rows, options), { added: 0, unchanged: 2, code: 0 }, 'again');
    const conflicts = await run(
      [
        { username: 'Ada', passwordHash: PBKDF2 },
        { username: 'ada', passwordHash: PBKDF2, id: id.replace('1', '2') },
        { username: 'ada', passwordHash: SHA1, id },
        { username: 'bob', passwordHash: SHA1, disabled: true },
        { username: 'carl', passwordHash: SHA1, id },
        { username: 'bob', passwordHash: SHA1 },
      ],
      options,
    );
    t.match(conflicts, { added: 0, unchanged: 1, conflicts: 5, code: 1 });
    const told = conflicts.stderr.replaceAll(/\.$/gm, '').split('\n').slice(0, 5);
    for (const [i, reason] of [
      /^Line 1 has the username of another account/,
      /^Line 2 has the username of another account/,
      /^Line 3 .*another password hash/,
      /^Line 4 differs in "disabled" .*an import does not change it/,
      /^Line 5 has the id of another account/,
    ].entries()) {
      t.match(told[i], reason);
    }
  }
  t.same(await state(), before);
  const twice = { username: 'twice', passwordHash: SHA1, id: id.replace('1', '3') };
  for (const options of [' --dry-run', '']) {
    t.match(await run([twice, twice, { ...twice, username: 'other' }], options), {
      added: 1,
      unchanged: 1,
      conflicts: 1,
    });
  }
});

t.test('one id with two names gets the first name only', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const id = '00000000-0000-4000-8000-000000000001';
  const [first, second] = ['first@example.com', 'second@example.com'];
  const file = toNdjson([first, second, first].map(username => ({ id, username, passwordHash: BCRYPT })));
  for (const [dryRun, added] of [
    [' --dry-run', 1],
    ['', 1],
    ['', 0],
  ] as const) {
    const { stdout, stderr } = await latchkey(`users import - --json${dryRun}`, file);
    t.match(JSON.parse(stdout), { added, unchanged: 2 - added, conflicts: 1 });
    t.match(stderr, /^Line 2 has the id of another account/m);
  }
  t.same((await service.sql('SELECT name FROM auth.identifiers')).rows, [{ name: first }]);
});

t.test('an import that was killed continues when it runs again, with the same result', async t => {
  const service = await startService(t);
  const rows = Array.from({ length: 12_000 }, (_, i) => ({ username: `user-${i}`, passwordHash: PBKDF2 }));
  const file = join(t.testdir(), 'users.ndjson');
  writeFileSync(file, toNdjson(rows));
  const count = async () => (await service.sql('SELECT count(*)::int AS count FROM auth.users')).rows[0].count;
  const child = startLatchkey(service, `users import ${file}`);
  const ended = once(child, 'exit');
  await until(async () => (await count()) > 0, 'some are in');
  child.kill('SIGKILL');
  await ended;
  const some = await count();
  t.ok(some > 0 && some < rows.length && some % 1000 === 0, `${some} are in, in whole batches`);
  t.match(await importEvents(service), [{ added: some }], 'and are told of');

  const again = startLatchkey(service, `users import ${file}`);
  const interrupted = once(again, 'exit');
  await until(async () => (await count()) > some, 'more are in');
  again.kill('SIGINT');
  t.same(await interrupted, [130, null]);

  const { code, stdout } = await commandLine(service)(`users import ${file} --json`);
  const { added, unchanged } = JSON.parse(stdout);
  t.equal(code, 0);
  t.equal(added + unchanged, rows.length);
  t.equal(await count(), rows.length);
  const total = (await importEvents(service)).reduce((sum, details) => sum + details.added, 0);
  t.equal(total, rows.length);
});

t.test('what is exported can be imported elsewhere, and signs in there', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const credentials = newCredentials();
  await post(`${service.base}/auth/sign-up`, credentials);
  const rows = FOREIGN.slice(0, 6).map(([, passwordHash], i) => ({ username: `foreign-${i}`, passwordHash }));
  const others = [
    { username: 'gone', passwordHash: null, disabled: true },
    { username: 'zero', passwordHash: BCRYPT, id: '00000000-0000-0000-0000-000000000000' },
  ];
  await latchkey('users import -', toNdjson([...rows, ...others]));
  const dir = t.testdir();
  const accounts = async ({ sql }: Service) =>
    (
      await sql(
        `SELECT id, username, password_hash, date_trunc('milliseconds', created_at), disabled_at IS NULL AS enabled
         FROM auth.users ORDER BY id`,
      )
    ).rows;

  for (const format of ['ndjson', 'csv']) {
    const file = join(dir, `users.${format}`);
    t.match(await latchkey(`users export ${file}`), { code: 0, stdout: '', stderr: '9 accounts.\n' });
    t.equal(statSync(file).mode & 0o777, 0o600);
    const elsewhere = await startService(t, { authSecrets: service.config.authSecrets, bcryptCost: 5 });
    t.match(await commandLine(elsewhere)(`users import ${file}`), { code: 0, stderr: '' });
    t.same(await accounts(elsewhere), await accounts(service));
    t.equal((await signIn(elsewhere, credentials.username, credentials.password)).status, 200);
    t.equal((await signIn(elsewhere, 'foreign-0', PASSWORD)).status, 200);
    t.equal((await signIn(elsewhere, 'gone', PASSWORD)).status, 401);
  }
  const stranger = await commandLine(await startService(t))(`users import ${dir}/users.csv`, '', {
    AUTH_SECRETS: `two:${Buffer.alloc(32).toString('base64')}`,
  });
  t.match(stranger, { code: 1, stderr: /needs the secret "one", which is not in AUTH_SECRETS/ });

  const { stdout } = await latchkey('users export --format csv');
  t.equal(stdout, readFileSync(join(dir, 'users.csv'), 'utf8'));
  const before = readFileSync(join(dir, 'users.ndjson'), 'utf8');
  t.equal((await latchkey('users export -')).stdout, before, '- is standard output, not a file');
  t.match(await latchkey(`users export ${dir}/users.ndjson`), { code: 1, stderr: /the file exists/ });
  t.equal(readFileSync(join(dir, 'users.ndjson'), 'utf8'), before);
});

t.test('a reader that closes the pipe ends an export without an error', async t => {
  const service = await startService(t);
  const rows = Array.from({ length: 5000 }, (_, i) => ({ username: `user-${i}`, passwordHash: PBKDF2 }));
  await commandLine(service)('users import -', toNdjson(rows));
  const child = startLatchkey(service, 'users export');
  let stderr = '';
  child.stderr.on('data', chunk => {
    stderr += chunk;
  });
  child.stdout.once('data', () => child.stdout.destroy());
  t.same(await once(child, 'close'), [0, null]);
  t.notMatch(stderr, /EPIPE|^ +at /m);
});

t.test('an account is disabled, which ends its sessions, and enabled again', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const { username, password } = newCredentials();
  const { body } = await post(`${service.base}/auth/sign-up`, { username, password });
  t.match(await latchkey(`users disable ${username.toUpperCase()}`), { code: 0, stdout: '' });
  t.match(await latchkey(`users disable ${username}`), { code: 0, stderr: / was disabled already\.\n$/ });
  t.equal((await signIn(service, username, password)).status, 401);
  await until(
    async () => (await get(`${service.base}/auth/verify`, body.token)).status === 401,
    'the token is refused',
  );
  t.equal((await latchkey(`users enable ${username}`)).code, 0);
  t.match(await latchkey(`users enable ${username}`), { code: 0, stderr: / was enabled already\.\n$/ });
  t.equal((await signIn(service, username, password)).status, 200);
  t.same(JSON.parse((await latchkey(`users disable ${username} --json`)).stdout), {
    ...{ username, disabled: true, changed: true },
  });
  t.same(JSON.parse((await latchkey(`users enable ${username} --json`)).stdout), {
    ...{ username, disabled: false, changed: true },
  });
  t.match(await latchkey('users disable nobody'), { code: 1, stderr: /There is no account nobody/ });
  const { rows } = await service.sql(
    `SELECT event, user_id FROM auth.audit_events WHERE event LIKE 'user_%' ORDER BY id`,
  );
  const change = [
    { event: 'user_disabled', user_id: body.user.id },
    { event: 'user_enabled', user_id: body.user.id },
  ];
  t.match(rows, [...change, ...change]);
  t.equal(rows.length, 4, 'a command that changes nothing records no event');
});

t.test('mistakes are explained', async t => {
  const latchkey = commandLine(await startService(t));
  const dir = t.testdir({ 'users.txt': '', 'a.csv': {} });
  for (const [args, message] of [
    [`users import ${dir}/nowhere.csv`, /Cannot read .*no such file/],
    [`users import ${dir}/users.txt`, /The format of .* is not known .*--format/],
    [`users import ${dir}/a.csv`, /Cannot read .*it is a directory/],
    ['users import - --format xml', /Allowed choices are ndjson, csv/],
    ['users import - --firebase-rounds many', /must be a whole number from 1 to 99/],
    ['users import - --firebase-signer-key-file /nowhere', /no such file/],
    [`users export ${dir}/nowhere/users.csv`, /Cannot write .*no such file/],
    [`users export ${dir}/users.txt`, /The format of .* is not known .*--format/],
    ['passwords calibrate --budget soon', /must be a whole number of milliseconds/],
  ] as const) {
    const { code, stdout, stderr } = await latchkey(args);
    t.match({ code, stdout }, { code: 1, stdout: '' }, args);
    t.match(stderr, message, args);
    t.notMatch(stderr, /^ +at /m, args);
  }
});
