import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { readMailbox } from '@latchkey/auth-client/testing/service';
import { transact, withClient } from '@latchkey/service-kit/database';
import pg from 'pg';
import t from 'tap';
import { deleteAccount } from '#src/accounts/delete.js';
import { listAccounts } from '#src/accounts/list.js';
import { renameAccount } from '#src/accounts/rename.js';
import { SERVICE_ORIGIN } from '#src/events/recorder.js';
import { addApp, challengeOf, complete, newCode, signInWithApp, signUpWithApp } from './authenticator-app.js';
import { CLI, commandLine, environment } from './command-line.js';
import { createDatabase, get, newCredentials, post, type Service, send, startService, until } from './helper.js';

const BCRYPT = '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW';

const signUp = async ({ base }: Service, credentials = newCredentials()) => {
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  return { ...body, credentials };
};
const signIn = ({ base }: Service, credentials: { username: string; password: string }) =>
  post(`${base}/auth/sign-in`, credentials);
const addAccounts = (service: Service, usernames: string[]) =>
  commandLine(service)(
    'users import -',
    usernames.map(username => `${JSON.stringify({ username, passwordHash: BCRYPT })}\n`).join(''),
  );
const isRefused = ({ base }: Service, token: string) =>
  until(async () => (await get(`${base}/auth/verify`, token)).status === 401, 'the token is refused');
const eventsOf = async ({ sql }: Service, accountId: string) =>
  (await sql('SELECT event, actor, details FROM auth.audit_events WHERE user_id = $1 ORDER BY id', [accountId])).rows;
const rowsOf = async ({ sql }: Service, accountId: string) => {
  const { rows } = await sql(
    `SELECT (SELECT count(*)::int FROM auth.users WHERE id = $1) AS users,
       (SELECT count(*)::int FROM auth.identifiers WHERE user_id = $1) AS identifiers,
       (SELECT count(*)::int FROM auth.sessions WHERE user_id = $1) AS sessions,
       (SELECT count(*)::int FROM auth.sign_up_keys WHERE user_id = $1) AS keys,
       (SELECT count(*)::int FROM auth.totp WHERE account_id = $1)
         + (SELECT count(*)::int FROM auth.recovery_codes WHERE account_id = $1) AS factors`,
    [accountId],
  );
  return rows[0];
};
const NONE = { users: 0, identifiers: 0, sessions: 0, keys: 0, factors: 0 };

t.test('accounts are listed in pages, by the prefix of their names, by their state', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const list = async (options = '') => {
    const { stdout, stderr, code } = await latchkey(`users list --json${options}`);
    t.match({ stderr, code }, { stderr: '', code: 0 });
    t.notMatch(stdout, /CCCC|\$2b\$|hash/i);
    const { accounts, next } = JSON.parse(stdout);
    return { accounts, next, names: accounts.map(({ username }: { username: string }) => username) };
  };
  t.same(await list(), { accounts: [], next: undefined, names: [] });
  t.match(await latchkey('users list'), { code: 0, stdout: 'There are no accounts.\n', stderr: '' });

  const names = ['ada', 'Ada.Lovelace', 'ada_b', 'adaxb', 'adz', 'ada@example.com', 'zed'];
  await addAccounts(service, names);
  const newestFirst = [...names].reverse();
  const all = await list();
  t.same(all.names, newestFirst);
  t.equal(all.next, undefined);
  t.match(all.accounts[0], { id: /^[0-9a-f-]{36}$/, username: 'zed', createdAt: /Z$/, disabled: false });

  const walked: string[] = [];
  let after = '';
  for (const size of [3, 3, 1]) {
    const page = await list(` --limit 3${after}`);
    t.equal(page.names.length, size);
    walked.push(...page.names);
    t.equal(page.next === undefined, walked.length === names.length);
    after = ` --after ${page.next}`;
  }
  t.same(walked, newestFirst);

  for (const [query, found] of [
    ['ADA', newestFirst.filter(name => /^ada/i.test(name))],
    ['ada_', ['ada_b']],
    ['ada%', []],
    ['é', []],
    ['zed', ['zed']],
    ['zedd', []],
  ] as const) {
    t.same((await list(` --query ${query}`)).names, found, query);
  }
  const first = await list(' --query ada --limit 2');
  const rest = await list(` --query ada --after ${first.next}`);
  t.same(
    [...first.names, ...rest.names],
    newestFirst.filter(name => /^ada/i.test(name)),
    'pages of a prefix',
  );

  await latchkey('users disable adz');
  t.same((await list(' --disabled')).names, ['adz']);
  t.match((await list(' --disabled')).accounts, [{ disabled: true }]);
  t.same((await list(' --disabled --query ada')).names, []);
  t.same((await list(' --disabled --query AD')).names, ['adz']);

  const table = await latchkey('users list --limit 2');
  t.match(table.stdout, /^id +username .*createdAt +disabled *\n[0-9a-f-]{36} +zed .*Z +false *\n[0-9a-f-]{36} +ada@/);
  const { next } = await list(' --limit 2');
  t.equal(table.stderr, `There are more: add --after ${next}\n`);

  for (const [options, message] of [
    ['--after zed', /must be an id of "latchkey users list"/],
    ['--limit 0', /must be a whole number from 1/],
  ] as const) {
    t.match(await latchkey(`users list ${options}`), { code: 1, stdout: '', stderr: message });
  }
});

t.test('a page of a prefix reads a range of the index, among 100,000 accounts', async t => {
  const service = await startService(t, { databaseUrl: await createDatabase() });
  // Without the trigger, which inserts the names one by one.
  await withClient(service.config.databaseUrl, db =>
    db.query(
      `ALTER TABLE auth.users DISABLE TRIGGER users_named;
       INSERT INTO auth.users (id, username) SELECT gen_random_uuid(), 'Name-' || n FROM generate_series(1, 100000) AS n;
       INSERT INTO auth.identifiers (name, kind, user_id) SELECT lower(username), 'username', id FROM auth.users;
       ANALYZE auth.users, auth.identifiers`,
    ),
  );
  /** The plan of a page, and how many blocks it reads. */
  const explain = async (prefix: string | undefined, after?: string) => {
    let plan = '';
    let blocks = 0;
    const query = async (text: string, values: unknown[]) => {
      const { rows } = await service.sql(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
      const [{ Plan }] = rows[0]['QUERY PLAN'];
      blocks = Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'];
      plan = JSON.stringify(Plan);
      return { rows: [] };
    };
    await listAccounts({ query } as never, { prefix, isDisabled: false }, { after, limit: 50 });
    return { plan, blocks };
  };
  const middle = '80000000-0000-0000-0000-000000000000';
  for (const after of [undefined, middle]) {
    const all = await explain(undefined, after);
    t.match(all.plan, /users_pkey/);
    t.ok(all.blocks < 300, `${all.blocks} blocks of a page without a prefix`);
    for (const prefix of ['name-12345', 'NAME-777', 'nobody']) {
      const { plan, blocks } = await explain(prefix, after);
      t.match(plan, /"Index Cond":"\(\(name >= [^"]*\) AND \(name < /, prefix);
      t.notMatch(plan, /"Seq Scan"/);
      t.ok(blocks < 1000, `${prefix}: ${blocks} blocks`);
    }
    const wide = await explain('n', after);
    t.ok(wide.blocks < 1000, `${wide.blocks} blocks of a prefix that all have`);
  }
});

t.test('an account is shown by its name or its id, without its hash', async t => {
  const service = await startService(t, { bcryptCost: 5 });
  const latchkey = commandLine(service);
  const show = async (nameOrId: string) => JSON.parse((await latchkey(`users show ${nameOrId} --json`)).stdout);
  const { user, token, credentials } = await signUp(service);
  const second = (await signIn(service, credentials)).body;
  const own = {
    ...{ id: user.id, username: user.username, createdAt: user.createdAt, disabled: false, disabledAt: null },
    password: { scheme: 'bcrypt-hmac-sha384', cost: 5, secret: 'one', state: 'current' },
    factors: { totp: false, passkeys: 0, recoveryCodes: 0 },
    failedAttempts: [],
  };
  const shown = await show(user.username.toUpperCase());
  t.match(shown, { ...own, sessions: 2, lastSignInAt: /Z$/ });
  const [newest] = (await get(`${service.base}/auth/sessions`, second.token)).body.sessions;
  t.equal(shown.lastSignInAt, newest.createdAt);
  t.same(await show(user.id), shown);
  t.same(await show(user.id.toUpperCase()), shown);

  await post(`${service.base}/auth/sign-out`, {}, { authorization: `Bearer ${token}` });
  await latchkey(`users disable ${user.username}`);
  t.match(await show(user.id), { sessions: 0, lastSignInAt: newest.createdAt, disabled: true, disabledAt: /Z$/ });

  const text = await latchkey(`users show ${user.username}`);
  t.match(text.stdout, new RegExp(`^id +${user.id}\nusername +${user.username}\n`));
  t.match(text.stdout, /\ndisabled +true\n/);
  t.match(
    text.stdout,
    /\npassword +bcrypt-hmac-sha384, cost 5, secret "one": current\nfactors +none\nfailedAttempts +none\n$/,
  );
  const [{ hash }] = (await service.sql('SELECT password_hash AS hash FROM auth.users WHERE id = $1', [user.id])).rows;
  t.notOk(text.stdout.includes(hash.slice(-53)) || JSON.stringify(shown).includes(hash.slice(-53)));

  const rows = [
    { username: 'without', passwordHash: null },
    { username: user.id, passwordHash: BCRYPT },
  ];
  await latchkey('users import -', rows.map(row => `${JSON.stringify(row)}\n`).join(''));
  t.match(
    (await latchkey('users show without')).stdout,
    /\nsessions +0\nlastSignInAt\npassword +no password\nfactors +none\nfailedAttempts +none\n$/,
  );
  t.equal((await show(user.id)).username, user.username, 'a username that looks like an id hides no account');
  t.match(await latchkey('users show nobody'), {
    code: 1,
    stdout: '',
    stderr: /There is no account nobody \(database/,
  });
  const unknown = '00000000-0000-4000-8000-000000000001';
  t.match(await latchkey(`users show ${unknown}`), { code: 1, stdout: '', stderr: /There is no account 0000/ });
});

t.test('a deleted account is gone, and a running service refuses its tokens', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const credentials = newCredentials();
  const key = { 'idempotency-key': `delete-${credentials.username}` };
  const { body } = await post(`${service.base}/auth/sign-up`, credentials, key);
  const { id } = body.user;
  const other = await signUp(service);
  const second = (await signIn(service, credentials)).body;
  const ended = (await signIn(service, credentials)).body;
  await post(`${service.base}/auth/sign-out`, {}, { authorization: `Bearer ${ended.token}` });
  t.equal((await get(`${service.base}/auth/verify`, body.token)).status, 200);
  await addApp(service, second.token);
  t.same(await rowsOf(service, id), { users: 1, identifiers: 1, sessions: 3, keys: 1, factors: 11 });

  const refused = await latchkey(`users delete ${credentials.username}`);
  t.match(refused, { code: 1, stdout: '', stderr: /for good: add --yes, or run it on a terminal/ });
  t.equal((await rowsOf(service, id)).users, 1);

  const deleted = await latchkey(`users delete ${credentials.username.toUpperCase()} --yes --json`);
  t.match(deleted, { code: 0, stderr: '' });
  t.same(JSON.parse(deleted.stdout), { id, username: credentials.username, endedSessions: 2 });
  for (const { token } of [body, second]) await isRefused(service, token);
  for (const { token, refreshToken } of [body, second]) {
    t.equal((await get(`${service.base}/auth/me`, token)).status, 401);
    t.equal((await post(`${service.base}/auth/refresh`, { refreshToken })).status, 401);
  }
  t.equal((await signIn(service, credentials)).status, 401);
  t.same(await rowsOf(service, id), NONE);
  t.equal((await get(`${service.base}/auth/me`, other.token)).status, 200, 'others are not concerned');

  const events = await eventsOf(service, id);
  t.same(events.at(-1), { event: 'user_deleted', actor: 'operator', details: { ended: 2 } });
  const { rows } = await service.sql(`SELECT e::text FROM auth.audit_events e WHERE e::text ILIKE '%' || $1 || '%'`, [
    credentials.username,
  ]);
  t.same(rows, [], 'the audit trail keeps no name');
  t.match(await latchkey(`users delete ${credentials.username} --yes`), { code: 1, stderr: /There is no account/ });
  t.match(await latchkey(`users delete ${other.user.id} --yes`), { code: 1, stderr: /There is no account/ });
  await addAccounts(service, [other.user.id]);
  t.match(await latchkey(`users delete ${other.user.id} --yes`), { code: 0 });
  t.equal((await rowsOf(service, other.user.id)).users, 1, 'a username that looks like an id is not taken for that id');

  const again = await post(`${service.base}/auth/sign-up`, credentials, key);
  t.equal(again.status, 201, 'the name is free');
  t.not(again.body.user.id, id);
  t.match(await latchkey(`users delete ${credentials.username} --yes`), {
    ...{
      code: 0,
      stdout: '',
      stderr: `The account ${credentials.username} (${again.body.user.id}) is deleted, with 1 live session.\n`,
    },
  });
  t.notMatch(service.logs.join(''), /"level":[56]0/);
});

const SCRIPT = '/usr/bin/script';
t.test(
  'on a terminal, a deletion asks for the username',
  { skip: existsSync(SCRIPT) ? false : 'script is not installed' },
  async t => {
    const service = await startService(t);
    const [username, another] = ['helloworld', 'helloworld2'];
    await addAccounts(service, [username, another]);
    const names = async () =>
      (await service.sql('SELECT username FROM auth.users ORDER BY 1')).rows.map(({ username }) => username);
    /** Runs the command on a terminal, and types the text when it asks. */
    const answer = async (text: string) => {
      const command = `${process.execPath} ${CLI} users delete ${username}`;
      const child = spawn(SCRIPT, ['-qec', command, '/dev/null'], { cwd: tmpdir(), env: environment(service) });
      let shown = '';
      child.stdout.setEncoding('utf8').on('data', chunk => {
        shown += chunk;
      });
      const ended = once(child, 'close');
      await until(async () => /Type \S+ to delete it: /.test(shown), 'the question');
      child.stdin.write(text);
      const [code] = await ended;
      return { shown, code };
    };
    for (const text of ['y\n', `${another}\n`, '\n', '\x03', '\x04']) {
      const { shown, code } = await answer(text);
      t.match(shown, /The account helloworld \([0-9a-f-]{36}\) of 20.*Z has 0 live sessions\./);
      t.match(shown, /This is not \S+: nothing was deleted\./, JSON.stringify(text));
      t.equal(code, 1);
      t.same(await names(), [username, another]);
    }
    const { shown, code } = await answer(`${username}\n`);
    t.match({ shown, code }, { code: 0, shown: /The account helloworld \(.*\) is deleted/ });
    t.same(await names(), [another]);
  },
);

t.test('sign-ins and refreshes during a deletion leave nothing behind', async t => {
  const service = await startService(t);
  for (let round = 0; round < 5; round += 1) {
    const { user, credentials, refreshToken } = await signUp(service);
    const tokens: string[] = [];
    const remember = (call: Promise<{ status: number; body: { token: string } }>) =>
      call.then(({ status, body }) => {
        t.ok(status === 200 || status === 401, `${status}`);
        if (status === 200) tokens.push(body.token);
      });
    const calls = Array.from({ length: 10 }, () => [
      remember(signIn(service, credentials)),
      remember(post(`${service.base}/auth/refresh`, { refreshToken })),
    ]).flat();
    await until(async () => tokens.length > 2, 'some are signed in');
    const deletions = [1, 2].map(() => transact(service.app.pg.pool, db => deleteAccount(db, user.id, SERVICE_ORIGIN)));
    const ended = await Promise.all(deletions);
    t.equal(ended.filter(count => count === undefined).length, 1, 'one of two deletions finds the account');
    await Promise.all(calls);
    t.same(await rowsOf(service, user.id), NONE);
    for (const token of tokens) await isRefused(service, token);
  }
});

t.test('an operator resets the factors of an owner who has lost them', async t => {
  const service = await startService(t, { databaseUrl: await createDatabase() });
  const latchkey = commandLine(service);
  const ada = await signUpWithApp(service);
  const { username, password } = ada.credentials;
  const email = `${username}@example.com`;
  await service.sql('UPDATE auth.users SET email = $1, passkey_handle = $2 WHERE id = $3', [email, 'handle', ada.id]);
  await service.sql(`INSERT INTO auth.identifiers VALUES ($1, 'email', $2), ('aGFuZGxl', 'passkey', $2)`, [
    email,
    ada.id,
  ]);
  await service.sql(
    `INSERT INTO auth.passkeys (account_id, id, credential_id, public_key, rp_id, name, sign_count, backup_eligible, backed_up, transports)
     SELECT $1, gen_random_uuid(), sha256(n::text::bytea), '', 'auth.example.com', 'key', 0, false, false, '{}' FROM generate_series(1, 2) AS n`,
    [ada.id],
  );
  const { token } = await signInWithApp(service, ada);
  const shown = await latchkey(`users show ${username}`);
  t.match(shown.stdout, /\nfactors +authenticator app, 2 passkeys, 10 recovery codes\n/);
  t.same(JSON.parse((await latchkey(`users show ${email} --json`)).stdout).factors, {
    ...{ totp: true, passkeys: 2, recoveryCodes: 10 },
  });

  const challenge = await challengeOf(service, ada.credentials);
  const totp = await newCode(service, ada.secret);
  const reset = await latchkey(`users reset-factors ${username.toUpperCase()} --json`);
  t.match(reset, { code: 0, stderr: '' });
  t.same(JSON.parse(reset.stdout), {
    ...{ id: ada.id, username, changed: true, totp: true, passkeys: 2, recoveryCodes: 10, endedSessions: 2 },
  });
  t.equal((await complete(service, challenge, { totp })).status, 401, 'a sign-in that was due is void');
  await isRefused(service, token);
  t.equal((await get(`${service.base}/auth/me`, token)).status, 401);
  t.same((await eventsOf(service, ada.id)).at(-2), {
    ...{ event: 'factors_reset', actor: 'operator', details: { totp: true, passkeys: 2, ended: 2 } },
  });
  await readMailbox(service.base).next(email, { template: 'factors-reset' as never });
  const { rows } = await service.sql('SELECT passkey_handle FROM auth.users WHERE id = $1', [ada.id]);
  t.equal(rows[0].passkey_handle.toString(), 'handle', 'authenticators know the account again');
  for (const table of ['totp', 'recovery_codes', 'passkeys']) {
    t.equal((await service.sql(`SELECT FROM auth.${table} WHERE account_id = $1`, [ada.id])).rowCount, 0, table);
  }
  const again = await signIn(service, { username, password });
  t.equal(again.status, 200, 'the password is enough');
  t.equal((await send(`${service.base}/auth/totp`, 'POST', again.body.token)).status, 200, 'to add a factor again');

  t.match(await latchkey(`users reset-factors ${ada.id}`), {
    ...{ code: 0, stdout: '', stderr: `The account ${username} had no second factor and no passkey.\n` },
  });
  t.equal((await get(`${service.base}/auth/me`, again.body.token)).status, 200, 'what changes nothing ends nothing');
  t.match(await latchkey('users reset-factors nobody'), { code: 1, stderr: /There is no account nobody/ });

  const bea = await signUpWithApp(service);
  await service.sql('UPDATE auth.users SET password_hash = NULL WHERE id = $1', [bea.id]);
  const without = await latchkey(`users reset-factors ${bea.credentials.username}`);
  t.match(without.stderr, /has no second factor and no passkey now; 1 live session ended\.\n/);
  t.match(without.stderr, /It has no password either: make a link with latchkey users reset-link/);
});

t.test('an account gets another username, and the one before is free', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const { user, token, refreshToken, credentials } = await signUp(service);
  const { username: before, password } = credentials;
  const { username: after } = newCredentials();
  const namesOf = async (id: string) =>
    (await service.sql('SELECT name FROM auth.identifiers WHERE user_id = $1', [id])).rows.map(({ name }) => name);

  t.match(await latchkey(`users rename ${before.toUpperCase()} ${after}`), {
    ...{ code: 0, stdout: '', stderr: new RegExp(`^The account ${before.toUpperCase()} is ${after} now\\.`) },
  });
  t.same(await namesOf(user.id), [after]);
  t.match((await get(`${service.base}/auth/me`, token)).body, { id: user.id, username: after }, 'its session lives');
  t.match((await post(`${service.base}/auth/refresh`, { refreshToken })).body.user, { username: after });
  t.equal((await signIn(service, { username: after, password })).status, 200);
  t.equal((await signIn(service, { username: before, password })).status, 401);
  const heir = await signUp(service, { ...credentials, password: 'another sesame 43' });
  t.equal(heir.user.username, before, 'somebody else may have the name before');

  t.match(await latchkey(`users rename ${after} ${before.toUpperCase()}`), {
    code: 1,
    stderr: /The username .* is taken/,
  });
  t.match(await latchkey(`users rename ${after} ${after}`), { code: 0, stderr: `The account was ${after} already.\n` });
  t.same(JSON.parse((await latchkey(`users rename ${after} ${after} --json`)).stdout), {
    username: after,
    changed: false,
  });
  const upper = after.toUpperCase();
  t.same(JSON.parse((await latchkey(`users rename ${after} ${upper} --json`)).stdout), {
    username: upper,
    changed: true,
  });
  t.match((await get(`${service.base}/auth/me`, token)).body, { username: upper });
  t.same(await namesOf(user.id), [after]);
  t.match(await latchkey(`users rename ${before} ${after}`), { code: 1, stderr: /is taken/ }, 'in whatever case');

  for (const bad of ['ab', 'a/b', 'x'.repeat(65), 'Ünder']) {
    const { code, stderr } = await latchkey(`users rename ${after} ${bad}`);
    t.match({ code, stderr }, { code: 1, stderr: /is not a username: 3 to 64 characters of A-Z a-z 0-9/ });
  }
  t.match(await latchkey('users rename nobody somebody'), { code: 1, stderr: /There is no account nobody/ });

  const renames = (await eventsOf(service, user.id)).filter(({ event }) => event.startsWith('user_'));
  const event = { event: 'user_renamed', actor: 'operator', details: null };
  t.same(renames, [event, event], 'what changes nothing is no event');
  const { rows } = await service.sql(`SELECT FROM auth.audit_events e WHERE e::text ILIKE '%' || $1 || '%'`, [after]);
  t.same(rows, [], 'the audit trail keeps no name');
});

const identifiers = async ({ sql }: Service) =>
  (await sql('SELECT name, user_id FROM auth.identifiers ORDER BY 1')).rows;
const usernames = async ({ sql }: Service) =>
  (await sql('SELECT lower(username) AS name, id AS user_id FROM auth.users ORDER BY 1')).rows;

t.test('of 100 accounts that get one name at once, one has it', async t => {
  for (const trigger of ['with', 'without'] as const) {
    const service = await startService(t, { databaseUrl: await createDatabase() });
    // A database that is distributed by account cannot have it.
    if (trigger === 'without') await service.sql('DROP TRIGGER users_named ON auth.users');
    const names = Array.from({ length: 100 }, (_, i) => `candidate-${i}`);
    await addAccounts(service, names);
    const pool = new pg.Pool({ connectionString: service.config.databaseUrl, max: 25 });
    t.teardown(() => pool.end());
    const rename = (from: string, to: string) => transact(pool, db => renameAccount(db, { from, to }, SERVICE_ORIGIN));
    const results = await Promise.all(names.map((name, i) => rename(name, i % 2 ? 'Winner' : 'winner')));
    t.equal(results.filter(result => result === 'renamed').length, 1, trigger);
    t.equal(results.filter(result => result === 'taken').length, 99);
    t.same(await identifiers(service), await usernames(service), 'each has one name');

    const [first, second] = names.filter((_, i) => results[i] === 'taken') as [string, string];
    const swapped = await Promise.all([rename(first, second), rename(second, first)]);
    t.same(swapped, ['taken', 'taken']);
    const twice = await Promise.all([rename(first, 'either'), rename(first, 'other')]);
    t.same(twice.sort(), ['renamed', 'unknown'], 'of two renames of one account, one finds it by its name');
    const [left, right] = await Promise.all([
      rename(second, 'wanted'),
      post(`${service.base}/auth/sign-up`, { ...newCredentials(), username: 'wanted' }),
    ]);
    t.equal(left === 'renamed' ? 409 : 201, right.status, 'a sign-up of the same name');
    t.same(await identifiers(service), await usernames(service));
  }
});

t.test('a deletion tells the feed by itself, without the triggers that do so for SQL', async t => {
  const service = await startService(t, { databaseUrl: await createDatabase() });
  for (const [table, trigger] of [
    ['sessions', 'session_revoked'],
    ['sessions', 'session_deleted'],
    ['users', 'users_named'],
    ['revocation_batches', 'feed_drafted'],
  ]) {
    await service.sql(`DROP TRIGGER ${trigger} ON auth.${table}`);
  }
  const { user, token } = await signUp(service);
  t.match(await commandLine(service)(`users delete ${user.username} --yes`), { code: 0, stdout: '' });
  await isRefused(service, token);
  t.same(await rowsOf(service, user.id), NONE);
});
