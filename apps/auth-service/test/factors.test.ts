import { randomBytes } from 'node:crypto';
import { mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMailbox } from '@latchkey/auth-client/testing/service';
import t from 'tap';
import { stepOf } from '#src/credentials/totp/code.js';
import { createChallenges } from '#src/sessions/challenges.js';
import {
  addApp,
  assuranceOf,
  challengeOf,
  codeOf,
  complete,
  newCode,
  signInWithApp,
  signUpWithApp,
  wrongCodeOf,
} from './authenticator-app.js';
import { commandLine } from './command-line.js';
import {
  createDatabase,
  get,
  mailsTo,
  newCredentials,
  post,
  type Service,
  segment,
  send,
  startService,
  until,
} from './helper.js';
import { addPasskey, newDevice } from './passkey-helper.js';
import { from, guess, newAddress, signIn, startReplica, startThrottled, times } from './throttled.js';

const codesOf = ({ status, body }: { status: number; body: { code: string } }) => [status, body?.code];
const WRONG = [401, 'invalid_second_factor'];
const VOID = [401, 'invalid_challenge'];
const eventsOf = async ({ sql }: Service, accountId: string) =>
  (await sql('SELECT event, details FROM auth.audit_events WHERE user_id = $1 ORDER BY id', [accountId])).rows.map(
    ({ event, details }) => (details === null ? event : [event, details]),
  );
const sessionsOf = async ({ sql }: Service, accountId: string) =>
  (await sql('SELECT FROM auth.sessions WHERE user_id = $1', [accountId])).rowCount;

t.test('an authenticator app is enrolled, confirmed, asked for and removed', async t => {
  const service = await startService(t);
  const { base } = service;
  const credentials = newCredentials();
  const { body: user } = await post(`${base}/auth/sign-up`, credentials);
  const { token } = user;
  const none = { password: true, totp: null, recoveryCodesLeft: 0, passkeys: [] };
  t.same((await get(`${base}/auth/factors`, token)).body, none);
  t.same(codesOf(await send(`${service.base}/auth/totp/confirm`, 'POST', token, { totp: '123456' })), [
    404,
    'not_found',
  ]);
  t.same(codesOf(await send(`${service.base}/auth/recovery-codes`, 'POST', token)), [404, 'not_found']);

  const made = await send(`${service.base}/auth/totp`, 'POST', token);
  t.equal(made.headers.get('cache-control'), 'no-store');
  const { secret, uri, qrCode } = made.body;
  t.match(secret, /^[A-Z2-7]{32}$/);
  const { protocol, host, pathname, searchParams } = new URL(uri);
  t.same([protocol, host], ['otpauth:', 'totp']);
  t.equal(decodeURIComponent(pathname), `/Latchkey:${credentials.username}`);
  t.match(Object.fromEntries(searchParams), { secret, issuer: 'Latchkey', digits: '6', period: '30' });
  t.match(qrCode, /^<svg .*<\/svg>\s*$/s);
  t.same((await get(`${base}/auth/factors`, token)).body, none, 'nothing counts yet');
  t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 200);

  const confirm = (totp: string) => send(`${service.base}/auth/totp/confirm`, 'POST', token, { totp });
  t.same(codesOf(await confirm(wrongCodeOf(secret))), WRONG);
  t.same(codesOf(await confirm('12345')), [400, 'invalid_request']);
  const confirmed = await confirm(codeOf(secret));
  t.equal(confirmed.status, 200);
  t.equal(confirmed.headers.get('cache-control'), 'no-store');
  t.equal(confirmed.body.recoveryCodes.length, 10);
  t.same(codesOf(await confirm(codeOf(secret, 1))), [404, 'not_found'], 'once');
  t.match((await get(`${base}/auth/factors`, token)).body, { totp: { createdAt: /Z$/ }, recoveryCodesLeft: 10 });

  await service.sql('DELETE FROM auth.audit_events');
  const before = await sessionsOf(service, user.user.id);
  const due = await post(`${base}/auth/sign-in`, credentials);
  t.same(codesOf(due), [401, 'second_factor_required']);
  t.equal(due.headers.get('www-authenticate'), 'Bearer');
  t.match(due.body, { methods: ['totp', 'recovery_code'], expiresIn: 300, challenge: /^[\w-]+$/ });
  t.notOk('token' in due.body || 'refreshToken' in due.body);
  t.equal(await sessionsOf(service, user.user.id), before, 'no session');
  t.same(await eventsOf(service, user.user.id), ['second_factor_due']);

  t.same(codesOf(await complete(service, due.body.challenge, { totp: wrongCodeOf(secret) })), WRONG);
  t.same(codesOf(await complete(service, due.body.challenge, { totp: codeOf(secret), recoveryCode: 'x' })), [
    ...[400, 'invalid_request'],
  ]);
  const done = await complete(service, due.body.challenge, { totp: await newCode(service, secret) });
  t.equal(done.status, 200);
  t.match(done.body, { tokenType: 'Bearer', user: { id: user.user.id, username: credentials.username } });
  t.match(assuranceOf(done.body.token), { amr: ['pwd', 'otp', 'mfa'], acr: 'aal2' });
  t.same(await eventsOf(service, user.user.id), [
    'second_factor_due',
    ['sign_in_failed', { reason: 'wrong_totp' }],
    'sign_in',
  ]);
  const refreshed = await post(`${base}/auth/refresh`, { refreshToken: done.body.refreshToken });
  t.same(assuranceOf(refreshed.body.token), assuranceOf(done.body.token), 'a refresh keeps what was proved');

  const removed = await send(`${service.base}/auth/totp`, 'DELETE', done.body.token);
  t.equal(removed.status, 204);
  t.same((await get(`${base}/auth/factors`, done.body.token)).body, none, 'the codes have gone with the last factor');
  const alone = await post(`${base}/auth/sign-in`, credentials);
  t.equal(alone.status, 200);
  t.match(assuranceOf(alone.body.token), { amr: ['pwd'], acr: 'aal1' });
  t.equal((await send(`${service.base}/auth/totp`, 'DELETE', alone.body.token)).status, 204, 'there is none any more');
  t.equal((await eventsOf(service, user.user.id)).filter(event => event === 'totp_removed').length, 1);
});

t.test('another app replaces the one before when it is confirmed', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const { token } = await signInWithApp(service, ada);
  const { body: next } = await send(`${service.base}/auth/totp`, 'POST', token);
  await signInWithApp(service, ada);
  const confirmed = await send(`${service.base}/auth/totp/confirm`, 'POST', token, { totp: codeOf(next.secret) });
  t.equal(confirmed.status, 200);
  const challenge = await challengeOf(service, ada.credentials);
  t.same(
    codesOf(await complete(service, challenge, { totp: await newCode(service, ada.secret) })),
    WRONG,
    'the old app',
  );
  t.same(codesOf(await complete(service, challenge, { recoveryCode: ada.codes[0] })), WRONG, 'the old recovery codes');
  t.equal((await complete(service, challenge, { totp: await newCode(service, next.secret) })).status, 200);
});

t.test('a session without the factor confirms no secret that it made before', async t => {
  const service = await startService(t);
  const credentials = newCredentials();
  const thief = (await post(`${service.base}/auth/sign-up`, credentials)).body;
  const owner = (await post(`${service.base}/auth/sign-in`, credentials)).body;
  const { codes } = await addApp(service, owner.token);
  // As when the first factor is a passkey, which leaves the secret of another app alone.
  const { rows } = await service.sql('SELECT * FROM auth.totp');
  await service.sql('DELETE FROM auth.totp');
  const { body: theirs } = await send(`${service.base}/auth/totp`, 'POST', thief.token);
  await service.sql(`UPDATE auth.totp SET secret = $1, secret_id = $2, confirmed_at = now()`, [
    rows[0].secret,
    rows[0].secret_id,
  ]);
  const refused = await send(`${service.base}/auth/totp/confirm`, 'POST', thief.token, { totp: codeOf(theirs.secret) });
  t.same(codesOf(refused), [401, 'insufficient_user_authentication']);
  t.match(refused.headers.get('www-authenticate'), /acr_values="aal2"/);
  const challenge = await challengeOf(service, credentials);
  t.equal((await complete(service, challenge, { recoveryCode: codes[0] })).status, 200, 'the owner’s codes are good');
});

t.test('a code is good for one use, wherever it is used', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const challenge = await challengeOf(service, ada.credentials);
  t.same(codesOf(await complete(service, challenge, { totp: codeOf(ada.secret) })), WRONG, 'it has confirmed the app');
  const totp = await newCode(service, ada.secret);
  const { status, body } = await complete(service, challenge, { totp });
  t.equal(status, 200);
  const again = await challengeOf(service, ada.credentials);
  t.same(codesOf(await complete(service, again, { totp })), WRONG);
  t.same(codesOf(await send(`${service.base}/auth/step-up`, 'POST', body.token, { totp })), WRONG);
  t.same((await eventsOf(service, ada.id)).slice(-2), [
    ['sign_in_failed', { reason: 'used_totp' }],
    ['step_up_failed', { reason: 'used_totp' }],
  ]);
  // A code of an earlier step is not good after one of a later step.
  await service.sql('UPDATE auth.totp SET last_step = last_step + 2');
  t.same(codesOf(await complete(service, again, { totp: codeOf(ada.secret, 1) })), WRONG);
  t.equal((await complete(service, again, { totp: await newCode(service, ada.secret) })).status, 200);
});

t.test('a code of a step before or after is accepted, and no other', async t => {
  // RFC 6238, appendix B: the last six digits of its codes for SHA-1.
  const secret = Buffer.from('12345678901234567890');
  for (const [seconds, code] of [
    [59, '287082'],
    [1_111_111_109, '081804'],
    [1_111_111_111, '050471'],
    [1_234_567_890, '005924'],
    [2_000_000_000, '279037'],
    [20_000_000_000, '353130'],
  ] as const) {
    const step = Math.floor(seconds / 30);
    const accepted = [-2, -1, 0, 1, 2].map(drift => stepOf(secret, code, (seconds + drift * 30) * 1000));
    t.same(accepted, [undefined, step, step, step, undefined], code);
  }
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const challenge = await challengeOf(service, ada.credentials);
  for (const steps of [-3, -2, 3]) {
    await newCode(service, ada.secret);
    t.same(codesOf(await complete(service, challenge, { totp: codeOf(ada.secret, steps) })), WRONG, `${steps} steps`);
  }
});

t.test('of a hundred uses of one code on three replicas, one signs in', async t => {
  const first = await startService(t, { databaseUrl: await createDatabase() });
  const replicas = [first, await startService(t, first.config), await startService(t, first.config)];
  const ada = await signUpWithApp(first);
  const { rows } = await first.sql('SELECT credential_version AS version FROM auth.users WHERE id = $1', [ada.id]);
  const about = { accountId: ada.id, credentialVersion: rows[0].version, amr: ['pwd'], username: 'ada' };
  for (let round = 0; round < 20; round++) {
    await first.sql('DELETE FROM auth.sessions WHERE user_id = $1', [ada.id]);
    const totp = await newCode(first, ada.secret);
    const shared = first.app.challenges.make('second-factor', about);
    const answers = await Promise.all(
      times(100, 0).map((_, i) => {
        const challenge = i % 2 ? shared : first.app.challenges.make('second-factor', about);
        return complete(replicas[i % 3] as Service, challenge, { totp });
      }),
    );
    t.equal(answers.filter(({ status }) => status === 200).length, 1, `round ${round}`);
    // On a busy machine, some do not get their turn at the account.
    t.same(new Set(answers.map(({ status }) => status).filter(status => status !== 503)), new Set([200, 401]));
    t.equal(await sessionsOf(first, ada.id), 1);
  }
});

t.test('five tries a challenge, and a limit for the account over challenges', async t => {
  const service = await startThrottled(t, { totp: { quota: 7, windowS: 2 } });
  const replica = await startReplica(t, service);
  const [address, others] = [from(newAddress()), from(newAddress())];
  const ada = await signUpWithApp(service, address);
  const wrong = { totp: wrongCodeOf(ada.secret) };
  const challenge = await challengeOf(service, ada.credentials, others);
  const tries = await Promise.all(
    times(20, 0).map((_, i) => complete(i % 2 ? service : replica, challenge, wrong, others)),
  );
  t.equal(tries.filter(({ status }) => status === 401).length, 5);
  t.equal(tries.filter(({ status }) => status === 429).length, 15);
  const late = await complete(service, challenge, { totp: await newCode(service, ada.secret) }, others);
  t.same(codesOf(late), [429, 'too_many_requests'], 'also the right code');
  t.ok(Number(late.headers.get('retry-after')) > 200);

  const second = await challengeOf(service, ada.credentials, others);
  for (let i = 0; i < 2; i++) t.same(codesOf(await complete(service, second, wrong, others)), WRONG);
  t.equal((await complete(service, second, wrong, others)).status, 429, 'the account has no more');
  const third = await challengeOf(service, ada.credentials, address);
  const refused = await complete(service, third, { totp: await newCode(service, ada.secret) }, address);
  t.equal(refused.status, 429, 'for its owner neither');
  t.ok(Number(refused.headers.get('retry-after')) <= 2);
  const saved = await complete(service, third, { recoveryCode: ada.codes[0] }, address);
  t.equal(saved.status, 200, 'a recovery code is accepted');
  const fourth = await challengeOf(service, ada.credentials, address);
  await sleep(2200);
  t.equal((await complete(service, fourth, { totp: await newCode(service, ada.secret) }, address)).status, 200);
});

t.test('the operator unlocks an authenticator app', async t => {
  const service = await startThrottled(t);
  const ada = await signUpWithApp(service);
  const wrong = { totp: wrongCodeOf(ada.secret) };
  for (let i = 0; i < 2; i++) {
    const challenge = await challengeOf(service, ada.credentials);
    for (let j = 0; j < 5; j++) t.same(codesOf(await complete(service, challenge, wrong)), WRONG);
  }
  const challenge = await challengeOf(service, ada.credentials);
  t.equal((await complete(service, challenge, { totp: await newCode(service, ada.secret) })).status, 429);
  const { stderr } = await commandLine(service)(`users unlock ${ada.credentials.username}`);
  t.match(stderr, /codes of the authenticator app: 10 failed, blocked for 900 s/);
  await until(
    async () => (await complete(service, challenge, { totp: await newCode(service, ada.secret) })).status === 200,
    'its codes are accepted again',
  );
});

t.test('the failures of a password are forgiven by the whole sign-in only', async t => {
  const service = await startThrottled(t, { pair: { quota: 4, windowS: 900 } });
  const halves = await signUpWithApp(service, from(newAddress()));
  const address = newAddress();
  const fail = async (username: string, count: number) => {
    for (let i = 0; i < count; i++) t.equal((await guess(service, username, address)).status, 401);
  };
  await fail(halves.credentials.username, 3);
  const challenge = await challengeOf(service, halves.credentials, from(address));
  await complete(service, challenge, { totp: wrongCodeOf(halves.secret) }, from(address));
  await fail(halves.credentials.username, 1);
  const { username, password } = halves.credentials;
  t.equal((await signIn(service, username, password, address)).status, 429, 'the password alone has forgiven nothing');

  const whole = await signUpWithApp(service, from(newAddress()));
  await fail(whole.credentials.username, 3);
  const totp = await newCode(service, whole.secret);
  const done = await complete(
    service,
    await challengeOf(service, whole.credentials, from(address)),
    { totp },
    from(address),
  );
  t.equal(done.status, 200);
  await fail(whole.credentials.username, 3);
  await challengeOf(service, whole.credentials, from(address));
});

t.test('an address is known to an account after a whole sign-in only', async t => {
  const service = await startThrottled(t, { account: { quota: 4, windowS: 900 }, pair: { quota: 4, windowS: 900 } });
  const ada = await signUpWithApp(service, from(newAddress()));
  const [half, home] = [newAddress(), newAddress()];
  await challengeOf(service, ada.credentials, from(half));
  const totp = await newCode(service, ada.secret);
  await complete(service, await challengeOf(service, ada.credentials, from(home)), { totp }, from(home));
  for (let i = 0; i < 4; i++) await guess(service, ada.credentials.username, newAddress());
  const { username, password } = ada.credentials;
  t.equal((await signIn(service, username, password, half)).status, 429, 'a stranger');
  t.same(codesOf(await signIn(service, username, password, home)), [401, 'second_factor_required']);
});

t.test('a challenge is good for one sign-in, of its account, for a while', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const refused = async (challenge: string, what: string) => {
    const totp = await newCode(service, ada.secret);
    t.same(codesOf(await complete(service, challenge, { totp })), VOID, what);
  };
  const { rows } = await service.sql('SELECT credential_version AS version FROM auth.users WHERE id = $1', [ada.id]);
  const about = { accountId: ada.id, credentialVersion: rows[0].version, amr: ['pwd'], username: 'ada' };
  const { challenges } = service.app;

  for (const made of ['', 'A', 'x'.repeat(4096), '!!', randomBytes(200).toString('base64url')])
    await refused(made, 'made up');
  const good = challenges.make('second-factor', about);
  const bytes = Buffer.from(good, 'base64url');
  for (let i = 0; i < bytes.length; i++) {
    const flipped = Buffer.from(bytes);
    flipped[i] = (flipped[i] as number) ^ (1 << (i % 8));
    t.equal(challenges.open('second-factor', flipped.toString('base64url')), undefined, `byte ${i} is another`);
  }
  await refused(challenges.make('passkey-step-up', { accountId: ada.id, sessionId: ada.sid }), 'of another purpose');
  await refused(challenges.make('passkey-sign-in', {}), 'of another purpose');
  const strangers = createChallenges([{ id: 'one', key: randomBytes(32) }]);
  await refused(strangers.make('second-factor', about), 'by another secret');
  const now = Date.now;
  Date.now = () => now() - 300_000;
  const expired = challenges.make('second-factor', about);
  Date.now = now;
  await refused(expired, 'expired');

  t.equal((await complete(service, good, { totp: await newCode(service, ada.secret) })).status, 200);
  await refused(good, 'used');
  await refused(
    challenges.make('second-factor', { ...about, credentialVersion: rows[0].version - 1 }),
    'of before a change',
  );
  const eve = await signUpWithApp(service);
  const hers = await challengeOf(service, eve.credentials);
  t.same(codesOf(await complete(service, hers, { totp: await newCode(service, ada.secret) })), WRONG);
  t.same(codesOf(await complete(service, hers, { recoveryCode: ada.codes[1] })), WRONG, 'a code of another account');
  t.equal(await sessionsOf(service, eve.id), 1);
});

t.test('a challenge is void when what proves its account has changed', async t => {
  const service = await startService(t);
  const mailbox = readMailbox(service.base);
  const NEW = 'brand new and 42 long';
  const changes: Record<string, (ada: Awaited<ReturnType<typeof signUpWithApp>>, token: string) => Promise<unknown>> = {
    'a changed password': ({ credentials }, token) =>
      send(`${service.base}/auth/password`, 'PUT', token, { currentPassword: credentials.password, newPassword: NEW }),
    'a reset password': async ({ credentials, id }) => {
      const email = `${credentials.username}@example.com`;
      await service.sql('UPDATE auth.users SET email = $1 WHERE id = $2', [email, id]);
      await service.sql(`INSERT INTO auth.identifiers VALUES ($1, 'email', $2)`, [email, id]);
      await post(`${service.base}/auth/password/forgot`, { email });
      const { token } = await mailbox.next(email, { template: 'reset-password' });
      return post(`${service.base}/auth/password/reset`, { token, newPassword: NEW });
    },
    'a removed app': (_, token) => send(`${service.base}/auth/totp`, 'DELETE', token),
    'another app': async (_, token) => addApp(service, token),
    'a passkey': async (_, token) => {
      const device = newDevice({ origin: 'https://auth.example.com' });
      t.equal((await addPasskey(service, token, device)).status, 201);
    },
    'a disabled account': ({ id }) => service.sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [id]),
  };
  for (const [what, change] of Object.entries(changes)) {
    const ada = await signUpWithApp(service);
    const { token } = await signInWithApp(service, ada);
    const challenge = await challengeOf(service, ada.credentials);
    await change(ada, token);
    const { rows } = await service.sql('SELECT FROM auth.totp WHERE account_id = $1', [ada.id]);
    const answer = await complete(service, challenge, { recoveryCode: ada.codes[0] });
    // Where the code is gone with the app, it is refused first.
    t.match(answer.status, 401, what);
    t.ok([WRONG, VOID].some(([, code]) => code === answer.body.code));
    if (rows.length > 0 && what !== 'another app') {
      t.same(codesOf(await complete(service, challenge, { totp: await newCode(service, ada.secret) })), VOID, what);
    }
  }
});

t.test('ten recovery codes, shown once, each good for one use, however it is typed', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  t.equal(new Set(ada.codes).size, 10);
  for (const code of ada.codes) t.match(code, /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){5}$/);
  const { rows } = await service.sql('SELECT code_hash, octet_length(code_hash) AS length FROM auth.recovery_codes');
  t.same(
    rows.map(({ length }) => length),
    times(10, 32),
    'the database has hashes',
  );
  const use = async (recoveryCode: string) =>
    complete(service, await challengeOf(service, ada.credentials), { recoveryCode });
  const typed = [
    (code: string) => code.toLowerCase(),
    (code: string) => code.replaceAll('-', ''),
    (code: string) => ` ${code.replaceAll('-', ' ')} `,
    (code: string) => code.replaceAll('0', 'O').replaceAll('1', 'I'),
    (code: string) => code.replaceAll('0', 'o').replaceAll('1', 'l'),
  ];
  let token = '';
  for (const [i, type] of typed.entries()) {
    const code = ada.codes[i] as string;
    const used = await use(type(code));
    t.equal(used.status, 200, type(code));
    t.match(assuranceOf(used.body.token), { amr: ['pwd', 'otp', 'mfa'], acr: 'aal2' });
    t.same(codesOf(await use(code)), WRONG, 'once');
    token = used.body.token;
  }
  t.match((await get(`${service.base}/auth/factors`, token)).body, { recoveryCodesLeft: 5 });
  for (const odd of ['', 'x', '0'.repeat(24), '0'.repeat(100), 'ſ'.repeat(24), '\u0000'])
    t.same(codesOf(await use(odd)), WRONG);

  const renewed = await send(`${service.base}/auth/recovery-codes`, 'POST', token);
  t.equal(renewed.headers.get('cache-control'), 'no-store');
  t.equal(renewed.body.recoveryCodes.length, 10);
  t.same(codesOf(await use(ada.codes[9] as string)), WRONG, 'those of before are void');
  t.equal((await use(renewed.body.recoveryCodes[0])).status, 200);
  t.ok((await eventsOf(service, ada.id)).includes('recovery_codes_made'));
});

t.test('of a hundred uses of a recovery code at once, one signs in', async t => {
  const first = await startService(t, { databaseUrl: await createDatabase() });
  const replicas = [first, await startService(t, first.config), await startService(t, first.config)];
  const ada = await signUpWithApp(first);
  const challenges = await Promise.all(times(10, 0).map(() => challengeOf(first, ada.credentials)));
  for (const recoveryCode of ada.codes.slice(0, 3)) {
    const answers = await Promise.all(
      times(100, 0).map((_, i) =>
        complete(replicas[i % 3] as Service, challenges[i % challenges.length] as string, { recoveryCode }),
      ),
    );
    t.equal(answers.filter(({ status }) => status === 200).length, 1);
  }
  t.equal((await first.sql('SELECT FROM auth.recovery_codes')).rowCount, 7);
});

/** Gives an account a verified address. */
async function verify({ sql }: Service, id: string, email: string) {
  await sql('UPDATE auth.users SET email = $1 WHERE id = $2', [email, id]);
  await sql(`INSERT INTO auth.identifiers VALUES ($1, 'email', $2)`, [email, id]);
}

t.test('the owner is told of each factor that is added, used up or removed', async t => {
  const service = await startService(t);
  const mailbox = readMailbox(service.base);
  const credentials = newCredentials();
  const email = `${credentials.username}@example.com`;
  const { body } = await post(`${service.base}/auth/sign-up`, credentials);
  await verify(service, body.user.id, email);
  const told = (template: string) => mailbox.next(email, { template: template as never });
  const { secret, codes } = await addApp(service, body.token);
  await told('totp-added');

  const use = async (recoveryCode: string) =>
    complete(service, await challengeOf(service, credentials), { recoveryCode });
  for (const code of codes.slice(0, 8)) {
    t.equal((await use(code)).status, 200);
    await told('recovery-code-used');
  }
  const used = (await mailsTo(service, email)).filter(({ template }) => template === 'recovery-code-used');
  t.same(
    used.map(({ text }) => Number(/Codes left: (\d+)/.exec(text)?.[1])),
    [9, 8, 7, 6, 5, 4, 3, 2],
  );
  t.same(
    used.map(({ text }) => /make new ones/.test(text)),
    [...times(7, false), true],
    'advice when two are left',
  );
  const { token } = await signInWithApp(service, { credentials, secret });
  t.equal((await send(`${service.base}/auth/recovery-codes`, 'POST', token)).status, 200);
  await told('recovery-codes-made');
  t.equal((await send(`${service.base}/auth/totp`, 'DELETE', token)).status, 204);
  await told('totp-removed');
  const mails = await mailsTo(service, email);
  const secrets = [secret, ...codes];
  for (const { text } of mails) t.notOk(secrets.some(one => text.includes(one)));
});

t.test('the secret of an app is sealed, and sealed anew by the current secret', async t => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const old = { id: 'old', key: randomBytes(32) };
  const first = await startService(t, { databaseUrl: await createDatabase(), authSecrets: [old] });
  const [ada, bea, eve] = [await signUpWithApp(first), await signUpWithApp(first), await signUpWithApp(first)];
  const { rows } = await first.sql(`SELECT encode(secret, 'hex') AS secret, secret_id FROM auth.totp`);
  const { Secret } = await import('otpauth');
  for (const { secret, secret_id } of rows) {
    t.equal(secret_id, 'old');
    for (const one of [ada, bea, eve])
      t.notOk(secret.includes(Buffer.from(Secret.fromBase32(one.secret).buffer).toString('hex')));
  }
  // One that belongs to another account cannot be opened, and one of a secret that is not there is left alone.
  await first.sql(`UPDATE auth.totp SET secret_id = 'lost' WHERE account_id = $1`, [eve.id]);
  const { body: enrolling } = await post(`${first.base}/auth/sign-up`, newCredentials());
  const { body: pending } = await send(`${first.base}/auth/totp`, 'POST', enrolling.token);
  const next = { id: 'next', key: randomBytes(32) };
  const second = await startService(t, { ...first.config, authSecrets: [next, old] });
  const sealedBy = async () =>
    (await first.sql('SELECT secret_id FROM auth.totp WHERE confirmed_at IS NOT NULL ORDER BY account_id')).rows.map(
      ({ secret_id }) => secret_id,
    );
  await until(async () => {
    // One replica at a time cleans up.
    mock.timers.tick(3_600_000);
    return !(await sealedBy()).includes('old');
  }, 'all are sealed anew');
  t.same((await sealedBy()).sort(), ['lost', 'next', 'next']);
  // Their passwords need the current secret from then on as well.
  for (const one of [ada, bea]) await signInWithApp(second, one);
  await challengeOf(second, eve.credentials);
  const third = await startService(t, { ...first.config, authSecrets: [next] });
  for (const one of [ada, bea]) await signInWithApp(third, one);
  const confirmed = await send(`${third.base}/auth/totp/confirm`, 'POST', enrolling.token, {
    totp: codeOf(pending.secret),
  });
  t.same(codesOf(confirmed), [404, 'not_found'], 'an enrolment begins again');
  const challenge = await challengeOf(third, eve.credentials);
  t.equal((await complete(third, challenge, { totp: codeOf(eve.secret) })).status, 500);
  t.match(third.logs.join(''), /is sealed by the secret \\"lost\\", which is not in AUTH_SECRETS/);
  t.equal((await complete(third, challenge, { recoveryCode: eve.codes[0] })).status, 200, 'a recovery code needs none');
  t.notMatch(second.logs.join(''), /cannot clean the database up/);
});

t.test('what is kept of challenges and secrets is bounded in time', async t => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  await signInWithApp(service, ada);
  const kept = 'SELECT FROM auth.used_challenges';
  t.equal((await service.sql(kept)).rowCount, 1);
  await service.sql(`UPDATE auth.used_challenges SET expires_at = now()`);
  mock.timers.tick(3_600_000);
  await until(async () => (await service.sql(kept)).rowCount === 0, 'it is deleted');

  const { body } = await post(`${service.base}/auth/sign-up`, newCredentials());
  const made = await send(`${service.base}/auth/totp`, 'POST', body.token);
  const again = await send(`${service.base}/auth/totp`, 'POST', body.token);
  const confirm = (secret: string) =>
    send(`${service.base}/auth/totp/confirm`, 'POST', body.token, { totp: codeOf(secret) });
  t.same(codesOf(await confirm(made.body.secret)), WRONG, 'the newest secret is the only one');
  await service.sql('UPDATE auth.totp SET pending_expires_at = now()');
  t.same(codesOf(await confirm(again.body.secret)), [404, 'not_found'], 'for an hour');
});

t.test('a removed account takes its factors along', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  await service.sql('DELETE FROM auth.users WHERE id = $1', [ada.id]);
  for (const table of ['totp', 'recovery_codes', 'passkeys']) {
    t.equal((await service.sql(`SELECT FROM auth.${table} WHERE account_id = $1`, [ada.id])).rowCount, 0, table);
  }
  t.equal(segment(ada.token, 1).sid, ada.sid);
});
