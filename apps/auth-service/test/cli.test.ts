import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import t from 'tap';
import { CLI, commandLine, environment } from './command-line.js';
import { call, get, newCredentials, post, type Service, startService, until } from './helper.js';
import { times } from './throttled.js';

const grant = ({ base }: Service, id: string, secret: string, scope = '') =>
  call(`${base}/oauth/token`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) }).toString(),
  });

t.test('clients are created, listed, given other secrets, disabled', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  t.match((await latchkey('clients list')).stdout, 'There are no clients.');
  const created = await latchkey('clients create --scope revocations:read --scope notes:read notes');
  t.equal(created.code, 0, created.stderr);
  const [, secret = ''] = /clientSecret +(latchkey_[\w-]{43})/.exec(created.stdout) ?? [];
  t.match(created.stderr, /cannot be shown again/);
  t.match((await grant(service, 'notes', secret)).body, { scope: 'revocations:read notes:read' });
  t.match(JSON.parse((await latchkey('clients list --json')).stdout), [
    { id: 'notes', scopes: ['revocations:read', 'notes:read'], disabled: false, createdAt: /Z$/, oldSecretUntil: null },
  ]);

  const again = await latchkey('clients create notes');
  t.match(again, { code: 1, stdout: '', stderr: /The client notes exists already/ });
  t.match(await latchkey('clients create notes --if-missing'), { code: 0, stdout: '' });

  const rotated = JSON.parse((await latchkey('clients rotate notes --grace 0 --json')).stdout);
  t.equal((await grant(service, 'notes', secret)).status, 401);
  t.equal((await grant(service, 'notes', rotated.clientSecret)).status, 200);
  const own = 'a secret of my own, from a vault, random';
  const brought = await latchkey('clients rotate notes --secret-file -', `${own}\n`);
  t.equal(brought.code, 0);
  t.notMatch(brought.stdout + brought.stderr, own);
  t.equal((await grant(service, 'notes', own)).status, 200);
  t.equal((await grant(service, 'notes', rotated.clientSecret)).status, 200, 'for a day');
  t.match(JSON.parse((await latchkey('clients list --json')).stdout), [{ oldSecretUntil: /Z$/ }]);
  const hasty = await latchkey('clients rotate notes --secret-file -', `${own} again\n`);
  t.match(hasty, { code: 0, stderr: /The older one is refused from now on/ });
  t.notMatch(brought.stderr, /is refused from now on/);
  t.equal((await grant(service, 'notes', rotated.clientSecret)).status, 401);

  t.match(await latchkey('clients disable notes'), { code: 0, stderr: 'The client notes is disabled.\n' });
  t.equal((await grant(service, 'notes', own)).status, 401);
  t.match(await latchkey('clients disable notes'), { code: 0, stderr: 'The client notes was disabled already.\n' });
  t.equal((await latchkey('clients enable notes')).code, 0);
  t.equal((await grant(service, 'notes', own)).status, 200);
  t.match(await latchkey('clients enable notes'), { code: 0, stderr: 'The client notes was enabled already.\n' });
  t.same(JSON.parse((await latchkey('clients enable notes --json')).stdout), {
    ...{ clientId: 'notes', disabled: false, changed: false },
  });
  const { rows } = await service.sql(`SELECT event FROM auth.audit_events WHERE client_id = 'notes' ORDER BY id`);
  t.same(
    rows.map(({ event }) => event),
    ['client_created', ...times(3, 'client_secret_rotated'), 'client_disabled', 'client_enabled'],
    'what changes nothing is no event',
  );
});

t.test(
  'a client that is there with another secret or other scopes is not taken for the one that was asked for',
  async t => {
    const service = await startService(t);
    const latchkey = commandLine(service);
    const [mine, other] = [1, 2].map(n => `${n}, a secret from a vault, of 32 characters or more`) as [string, string];
    const create = (args: string, secret: string) =>
      latchkey(`clients create notes --secret-file - --if-missing${args}`, secret);
    t.equal((await create(' --scope a --scope b', mine)).code, 0);
    t.match(await create(' --scope b --scope a', mine), {
      code: 0,
      stdout: '',
      stderr: /The client notes exists already/,
    });
    t.match(await create('', mine), { code: 0 }, 'what is not named is not compared');

    const wrongSecret = await create(' --scope a --scope b', other);
    t.match(wrongSecret, {
      code: 1,
      stdout: '',
      stderr: /another secret.*latchkey clients rotate notes --secret-file/s,
    });
    const wrongScopes = await create(' --scope a', mine);
    t.match(wrongScopes, {
      code: 1,
      stdout: '',
      stderr: /scopes "a b".*, not "a".*latchkey clients scopes notes --remove b/s,
    });
    const both = await create(' --scope a', other);
    t.match(both, { code: 1, stderr: /another secret.*the scopes "a b"/s });
    for (const { stderr } of [wrongSecret, wrongScopes, both]) t.notMatch(stderr, /from a vault/);

    t.equal((await grant(service, 'notes', mine)).status, 200, 'it is as it was');
    const [, cure = ''] = /latchkey (clients scopes .*)/.exec(wrongScopes.stderr) ?? [];
    t.match(await latchkey(cure), { code: 0 });
    t.match(await create(' --scope a', mine), { code: 0 }, 'the cure cures');
    await latchkey('clients rotate notes --secret-file -', other);
    t.match(await create('', other), { code: 0 });
    t.match(await create('', mine), { code: 0 }, 'the secret before is good for a while');
  },
);

t.test('keys rotate while the service runs', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const kids = async (): Promise<string[]> =>
    (await get(`${service.base}/.well-known/jwks.json`)).body.keys.map(({ kid }: { kid: string }) => kid);
  const [old] = await kids();
  const rotated = JSON.parse((await latchkey('keys rotate --json', '', { TOKEN_ALGORITHM: 'EdDSA' })).stdout);
  t.match(rotated, [
    { state: 'next', algorithm: 'EdDSA', secretId: 'one' },
    { kid: old, state: 'active', algorithm: 'ES256', retiredFrom: rotated[0].activeFrom },
  ]);
  t.ok(Date.parse(rotated[0].activeFrom) - Date.now() > 590_000, 'ten minutes from now');
  await until(async () => (await kids()).length === 2, 'the service publishes both');
  t.match((await latchkey('keys list')).stdout, new RegExp(`${rotated[0].kid} +next +EdDSA[^]*${old} +active +ES256`));
  t.match(await latchkey('keys rotate'), { code: 1, stderr: /is next already; it signs from .*retire it first/ });
  t.equal((await latchkey(`keys retire ${old} --distrust`)).code, 0);
  await until(async () => (await kids()).join() === rotated[0].kid, 'the next key has taken over');
  t.match(await latchkey('keys retire nothing'), { code: 1, stdout: '', stderr: /There is no key nothing/ });
  t.match(await latchkey(`keys retire ${old}`), {
    code: 1,
    stdout: '',
    stderr: /The key .* is gone since .*Z: its tokens/,
  });
});

t.test('events are read', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const { username, password } = newCredentials();
  await post(`${service.base}/auth/sign-up`, { username, password });
  await post(`${service.base}/auth/sign-up`, newCredentials());
  await call(`${service.base}/auth/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': '\x9b31mred' },
    body: JSON.stringify({ username, password: 'wrong' }),
  });
  t.notMatch((await latchkey('events')).stdout, /\x9b/, 'nobody sends commands to the terminal');
  const all = JSON.parse((await latchkey('events --json')).stdout);
  t.same(
    all.map(({ event }: { event: string }) => event),
    ['sign_in_failed', 'sign_up', 'sign_up', 'signing_key_added'],
  );
  const own = JSON.parse((await latchkey(`events --json --user ${username.toUpperCase()}`)).stdout);
  t.match(own, [{ event: 'sign_in_failed' }, { event: 'sign_up', username, address: '127.0.0.1', happenedAt: /Z$/ }]);
  t.equal(own.length, 2);
  t.same(own[0].details, { reason: 'wrong_password' }, 'an object, not its text');
  t.match((await latchkey('events')).stdout, /{"reason":"wrong_password"}/);
  t.notMatch((await latchkey('events')).stdout, /requestId|userAgent/, 'which are wide');
  t.equal(JSON.parse((await latchkey('events --json --limit 1')).stdout).length, 1);
});

t.test('a process with other secrets adds no key that the replicas cannot open', async t => {
  const latchkey = commandLine(await startService(t));
  const other = `other:${Buffer.alloc(32, 9).toString('base64')}`;
  const refused = await latchkey('keys rotate', '', { AUTH_SECRETS: other });
  t.match(refused, { code: 1, stdout: '', stderr: /sealed by the secret "one", which is not in AUTH_SECRETS/ });
  t.equal(JSON.parse((await latchkey('keys list --json')).stdout).length, 1);
});

t.test('a secret that cannot be shown is not set', { skip: process.platform !== 'linux' }, async t => {
  const service = await startService(t);
  const child = spawn(process.execPath, [CLI, 'clients', 'create', 'notes'], {
    env: environment(service),
    stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
  });
  const code = await new Promise(resolve => child.once('close', resolve));
  t.equal(code, 1);
  const { rows } = await service.sql('SELECT FROM auth.clients');
  t.equal(rows.length, 0);
});

t.test('mistakes are explained', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const cases: [args: string, message: RegExp, env?: Record<string, string>][] = [
    ['nonsense', /unknown command 'nonsense'/],
    ['keys rotate --lead soon', /must be a whole number of seconds/],
    ['clients create a/b', /A client id has 1 to 64 characters/],
    ['clients create notes --scope a"b', /"a"b" is not a scope/],
    ['clients create notes --secret-file -', /must have 32 to 256 characters/],
    ['clients create notes --secret-file /nowhere', /no such file/],
    ['events --limit 0', /must be a whole number from 1 to 10000/],
    ['events --user nobody-here', /There is no account nobody-here \(database/],
    ['clients rotate nobody', /There is no client nobody/],
    ['clients disable nobody', /There is no client nobody/],
    ['keys list', /AUTH_SECRETS is required in production/, { AUTH_SECRETS: '' }],
    ['keys list', /database does not respond .*DATABASE_URL/, { DATABASE_URL: 'postgresql://x:canary@127.0.0.1:1/x' }],
  ];
  for (const [args, message, env] of cases) {
    const { code, stdout, stderr } = await latchkey(args, '', env);
    t.equal(code, 1, args);
    t.match(stderr, message, args);
    t.equal(stdout, '', args);
    t.notMatch(stderr, /canary|^ +at /m, args);
  }
  t.match(await latchkey('--help'), { code: 0, stdout: /keys .*clients /s });
  t.match(await latchkey('--version'), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' });
  const { pathname } = new URL(service.config.databaseUrl);
  const { stderr } = await latchkey('users show nobody');
  t.match(stderr, `There is no account nobody (database ${pathname.slice(1)} at 127.0.0.1:`);
});

t.test('scopes of a client are shown and changed, and clients are deleted', async t => {
  const service = await startService(t);
  const latchkey = commandLine(service);
  const { clientSecret } = JSON.parse((await latchkey('clients create billing --scope a --scope b --json')).stdout);
  const ask = (scope: string) => grant(service, 'billing', clientSecret, scope);
  t.match(await latchkey('clients scopes billing'), { code: 0, stdout: 'a\nb\n' });
  t.same(JSON.parse((await latchkey('clients scopes billing --add c --remove a --json')).stdout), {
    ...{ clientId: 'billing', scopes: ['b', 'c'], changed: true },
  });
  t.equal((await ask('c')).status, 200);
  t.match(await ask('a'), { status: 400, body: { error: 'invalid_scope' } });
  t.match(JSON.parse((await latchkey('clients scopes billing --add c --json')).stdout), { changed: false });
  t.match(await latchkey('clients scopes billing --remove a'), { code: 1, stderr: /does not have the scope a/ });
  t.match(await latchkey('clients scopes billing --add a"b'), { code: 1, stderr: /is not a scope/ });
  t.match(await latchkey('clients scopes nobody'), { code: 1, stderr: /There is no client nobody/ });
  t.match(await latchkey('clients scopes billing --remove b --remove c'), { code: 0, stdout: 'It has no scopes.\n' });

  t.match(await latchkey('clients delete billing'), { code: 1, stderr: /add --yes, or run it on a terminal/ });
  t.match(await latchkey('clients delete billing --yes'), { code: 0, stderr: 'The client billing is deleted.\n' });
  t.match(await ask('c'), { status: 401, body: { error: 'invalid_client' } });
  t.match(await latchkey('clients delete billing --yes'), { code: 1, stderr: /There is no client billing/ });
  const { rows } = await service.sql(
    `SELECT event, details FROM auth.audit_events WHERE client_id = 'billing' ORDER BY id`,
  );
  t.same(
    rows.map(({ event, details }) => [event, details]),
    [
      ['client_created', { scopes: ['a', 'b'] }],
      ['client_scopes_changed', { scopes: ['b', 'c'] }],
      ['client_scopes_changed', { scopes: [] }],
      ['client_deleted', null],
    ],
  );
});

t.test('every command prints JSON, but for those that print a page or a file', async t => {
  const { stdout } = await commandLine(await startService(t))('reference commands');
  const [, ...commands] = stdout.split(/^## latchkey /m);
  t.ok(commands.length > 30);
  const without = commands.filter(command => !command.includes('`--json`')).map(command => command.split('\n')[0]);
  t.same(without, ['users export', 'reference']);
});
