import { createAuthClient } from '@latchkey/auth-client';
import { readMailbox } from '@latchkey/auth-client/testing/service';
import { inTransaction, withClient } from '@latchkey/service-kit/database';
import t, { type Test } from 'tap';
import { deleteAccount } from '#src/accounts/delete.js';
import { setDisabled } from '#src/accounts/disable.js';
import type { Config } from '#src/config/settings.js';
import { loadSettings } from '#src/config/settings.js';
import { SERVICE_ORIGIN } from '#src/events/recorder.js';
import { commandLine } from './command-line.js';
import {
  call,
  createDatabase,
  get,
  mailsTo,
  newCredentials,
  post,
  type Service,
  segment,
  startService,
  until,
} from './helper.js';
import { DEFAULTS, from, newAddress } from './throttled.js';

const NEW_PASSWORD = 'brand new and 42 long';

/** A service with a mailbox, and what the tests do with both. */
async function startWithMail(t: Test, overrides: Partial<Config> = {}) {
  const service = await startService(t, overrides);
  return { ...service, client: createAuthClient({ baseUrl: service.base }), mailbox: readMailbox(service.base) };
}

type WithMail = Awaited<ReturnType<typeof startWithMail>>;

const json = (token: string) => ({ authorization: `Bearer ${token}`, 'content-type': 'application/json' });

/** Signs a person up who has verified an address. */
async function signUpVerified({ client, mailbox }: WithMail) {
  const credentials = newCredentials();
  const email = `${credentials.username}@example.com`;
  const signedIn = await client.signUp({ ...credentials, email });
  await client.verifyEmail(await mailbox.next(email, { template: 'verify-email' }));
  return { credentials, email, id: signedIn.user.id, ...signedIn };
}

async function resetLinkOf({ client, mailbox }: WithMail, email: string) {
  await client.requestPasswordReset({ email });
  return mailbox.next(email, { template: 'reset-password' });
}

const reset = ({ base }: Pick<Service, 'base'>, token: string, newPassword = NEW_PASSWORD, headers = {}) =>
  post(`${base}/auth/password/reset`, { token, newPassword }, headers);

t.test('of a hundred uses of a link on three replicas, one succeeds', async t => {
  const first = await startWithMail(t, { databaseUrl: await createDatabase(), hashMaxWaitMs: 60_000 });
  const replicas = [first, await startService(t, first.config), await startService(t, first.config)];
  const { email, credentials } = await signUpVerified(first);
  const { token } = await resetLinkOf(first, email);
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => reset(replicas[i % 3] as Service, token, `${NEW_PASSWORD} ${i}`)),
  );
  const winners = answers.flatMap(({ status }, i) => (status === 204 ? [i] : []));
  t.equal(winners.length, 1);
  const codes = new Set(answers.filter(({ status }) => status !== 204).map(({ body }) => body.code));
  // A busy replica may refuse some.
  codes.delete('service_unavailable');
  t.same([...codes], ['invalid_one_time_token']);
  await first.client.signIn({ ...credentials, password: `${NEW_PASSWORD} ${winners[0]}` });

  const { token: verifying } = await signUpPending(first);
  const uses = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      post(`${(replicas[i % 3] as Service).base}/auth/email/verify`, { token: verifying }),
    ),
  );
  t.equal(uses.filter(({ status }) => status === 204).length, 1);
});

async function signUpPending({ client, mailbox }: WithMail) {
  const credentials = newCredentials();
  const email = `${credentials.username}@example.com`;
  await client.signUp({ ...credentials, email });
  return mailbox.next(email, { template: 'verify-email' });
}

t.test('a link survives a hash for which there is no room', async t => {
  const service = await startWithMail(t);
  const { email, credentials } = await signUpVerified(service);
  const { token } = await resetLinkOf(service, email);
  const full = await startService(t, { ...service.config, hashMaxWaitMs: 0, hashWorkers: 1, bcryptCost: 12 });
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => post(`${full.base}/auth/sign-in`, credentials)).concat(reset(full, token)),
  );
  t.equal(answers.at(-1)?.status, 503);
  t.equal((await reset(service, token)).status, 204);
});

t.test('a link is good for its time, its purpose and its account alone', async t => {
  const service = await startWithMail(t, { databaseUrl: await createDatabase() });
  const { email, id } = await signUpVerified(service);
  const { token } = await resetLinkOf(service, email);
  const refused = async (what: string) => {
    const answer = await reset(service, token);
    t.same([answer.status, answer.body.code], [400, 'invalid_one_time_token'], what);
  };
  const { rows } = await service.sql(
    `SELECT expires_at - created_at = interval '1 hour' AS hour, token_hash FROM auth.one_time_tokens WHERE purpose = 'reset-password'`,
  );
  t.ok(rows[0].hour);
  t.notOk(rows[0].token_hash.includes(Buffer.from(token, 'base64url')), 'the database has its hash alone');
  t.equal((await post(`${service.base}/auth/email/verify`, { token })).body.code, 'invalid_one_time_token');
  await service.sql(`UPDATE auth.one_time_tokens SET expires_at = now()`);
  await refused('it has expired');
  await service.sql(`UPDATE auth.one_time_tokens SET expires_at = now() + interval '1 minute', used_at = NULL`);
  await service.sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [id]);
  await refused('its account is disabled');
  await service.client.requestPasswordReset({ email });
  await t.rejects(
    service.mailbox.next(email, { template: 'reset-password', timeoutMs: 500 }),
    'nor is another one mailed',
  );
});

t.test('no address gets more than three mails with links an hour, and nobody learns that', async t => {
  const throttle = { ...DEFAULTS, forgotten: { quota: 1000, windowS: 3600 } };
  const databaseUrl = await createDatabase();
  const service = await startWithMail(t, { databaseUrl, throttle, trustProxy: ['127.0.0.1'] });
  const replica = await startService(t, service.config);
  const { email } = await signUpVerified(service);
  const forgot = ({ base }: Service, to: string) =>
    post(`${base}/auth/password/forgot`, { email: to }, from(newAddress()));
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => forgot(i % 2 ? service : replica, i % 3 ? email : email.toUpperCase())),
  );
  const stranger = await forgot(service, 'nobody@example.com');
  for (const { status, text } of [...answers, stranger]) t.same([status, text], [202, '']);
  await until(async () => (await service.sql('SELECT FROM auth.mail_queue')).rows.length === 0, 'all mails have left');
  for (let i = 0; i < 3; i++) await service.mailbox.next(email, { template: 'reset-password' });
  await t.rejects(service.mailbox.next(email, { template: 'reset-password', timeoutMs: 300 }));

  const limited = await startService(t, {
    ...service.config,
    throttle: { ...DEFAULTS, forgotten: { quota: 5, windowS: 60 } },
  });
  const address = newAddress();
  const statuses = [];
  for (let i = 0; i < 6; i++) {
    statuses.push(
      (await post(`${limited.base}/auth/password/forgot`, { email: `${i}@example.com` }, from(address))).status,
    );
  }
  t.same(statuses, [202, 202, 202, 202, 202, 429], 'requests from one address are limited as well');
});

t.test('tokens are not guessed for ever', async t => {
  const throttle = { ...DEFAULTS, link: { quota: 3, windowS: 60 } };
  const service = await startWithMail(t, { throttle, trustProxy: ['127.0.0.1'] });
  const address = newAddress();
  const guess = () => reset(service, 'A'.repeat(64), NEW_PASSWORD, from(address));
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await guess()).status);
  t.same(statuses, [400, 400, 400, 429]);
  t.equal((await reset(service, 'A'.repeat(64), NEW_PASSWORD, from(newAddress()))).status, 400);
});

t.test('the owner is told what happens to the account, at its verified address', async t => {
  const service = await startWithMail(t, { databaseUrl: await createDatabase(), refreshGraceS: 0 });
  const { client, mailbox, base } = service;
  const { email, credentials } = await signUpVerified(service);
  const agent = (name: string) => ({ 'user-agent': name });
  const signIn = async (name: string) => (await post(`${base}/auth/sign-in`, credentials, agent(name))).body;
  await signIn('Browser 1');
  await mailbox.next(email, { template: 'new-sign-in' as never });
  await signIn('Browser 1');
  await signIn('Browser 2');
  await t.rejects(mailbox.next(email, { template: 'new-sign-in' as never, timeoutMs: 2500 }), 'one an hour');
  await service.sql(`UPDATE auth.users SET sign_in_noticed_at = now() - interval '61 minutes'`);
  await signIn('Browser 1');
  await t.rejects(
    mailbox.next(email, { template: 'new-sign-in' as never, timeoutMs: 2500 }),
    'none of a place that is known',
  );
  const { token, refreshToken } = await signIn('Browser 3');
  await mailbox.next(email, { template: 'new-sign-in' as never });

  await client.refresh(refreshToken);
  await t.rejects(client.refresh(refreshToken), { code: 'invalid_refresh_token' });
  await mailbox.next(email, { template: 'sessions-ended' as never });
  await t.rejects(client.me(token), { code: 'invalid_token' });

  const again = await signIn('Browser 3');
  await client.changePassword(again.token, { currentPassword: credentials.password, newPassword: NEW_PASSWORD });
  await mailbox.next(email, { template: 'password-changed' });
  await client.resetPassword({ ...(await resetLinkOf(service, email)), newPassword: `${NEW_PASSWORD}er` });
  await mailbox.next(email, { template: 'password-reset' });

  const { user } = await client.signUp(newCredentials());
  await post(`${base}/auth/sign-in`, credentials, agent('Browser 9'));
  await until(async () => (await service.sql('SELECT FROM auth.notices')).rows.length === 0, 'no notice stays');
  t.equal(user.email, null);
});

t.test('a reset outlives everything that was begun before it', async t => {
  const service = await startWithMail(t);
  const { client, mailbox } = service;
  const { email, credentials, token } = await signUpVerified(service);
  const thief = `thief-${credentials.username}@example.com`;
  await client.setEmail(token, { email: thief });
  const theirs = await mailbox.next(thief, { template: 'verify-email' });
  await client.resetPassword({ ...(await resetLinkOf(service, email)), newPassword: NEW_PASSWORD });
  await t.rejects(client.verifyEmail(theirs), { code: 'invalid_one_time_token' }, 'a link to another address too');
  const { user } = await client.signIn({ ...credentials, password: NEW_PASSWORD });
  t.equal(user.email, email);
});

t.test('tokens tell when and how their account was proved', async t => {
  const service = await startWithMail(t);
  const credentials = newCredentials();
  const before = Math.floor(Date.now() / 1000) - 1;
  const { body } = await post(`${service.base}/auth/sign-up`, credentials);
  const { auth_time, amr, acr } = segment(body.token, 1);
  t.ok(auth_time >= before && auth_time <= Date.now() / 1000 + 1);
  t.same([amr, acr], [['pwd'], 'aal1']);
  await service.sql(
    `UPDATE auth.sessions SET created_at = created_at - interval '1 hour', auth_time = auth_time - interval '1 hour'`,
  );
  const { body: refreshed } = await post(`${service.base}/auth/refresh`, { refreshToken: body.refreshToken });
  t.equal(segment(refreshed.token, 1).auth_time, auth_time - 3600, 'a refresh keeps it');
  const authorization = `Bearer ${refreshed.token}`;
  const refused = await call(`${service.base}/auth/email`, { method: 'DELETE', headers: { authorization } });
  t.equal(refused.status, 401);
  t.equal(
    refused.headers.get('www-authenticate'),
    'Bearer error="insufficient_user_authentication", acr_values="aal1", max_age=600',
  );
});

t.test('where no mail can be sent, the calls that need it are not there', async t => {
  const service = await startService(t, { production: true });
  const { base } = service;
  t.equal((await post(`${base}/auth/password/forgot`, { email: 'ada@example.com' })).status, 404);
  const { token } = (await post(`${base}/auth/sign-up`, newCredentials())).body;
  const put = await call(`${base}/auth/email`, {
    method: 'PUT',
    headers: json(token),
    body: '{"email":"ada@example.com"}',
  });
  t.match([404, 405].includes(put.status), true);
  t.same((await get(`${base}/auth/email`, token)).body, { email: null, pending: null });
  const refused = await post(`${base}/auth/sign-up`, { ...newCredentials(), email: 'ada@example.com' });
  t.same([refused.status, refused.body.code], [400, 'invalid_request']);
  t.equal((await reset(service, 'x')).body.code, 'invalid_one_time_token', 'a link of the operator is taken');
  const production = {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgresql://x@y/z',
    AUTH_SECRETS: `1:${'A'.repeat(43)}=`,
    PUBLIC_URL: 'https://a.example',
  };
  t.throws(() => loadSettings({ ...production, SIGN_UP: 'email' }), /SIGN_UP=email needs SMTP_URL/);
});

t.test('no token and no address is in the log', async t => {
  const service = await startWithMail(t, { logLevel: 'trace' });
  const { email, token, refreshToken } = await signUpVerified(service);
  const link = await resetLinkOf(service, email);
  await reset(service, link.token);
  await reset(service, link.token);
  await post(`${service.base}/auth/password/forgot`, { email: 'not an address' });
  await post(`${service.base}/auth/email/verify`, { token: link.token });
  const lines = service.logs.join('');
  for (const secret of [email, email.split('@')[0] as string, link.token, token, refreshToken]) {
    t.notOk(lines.includes(secret), 'not there');
  }
});

t.test('an operator makes the link of an account, and invites others', async t => {
  const service = await startWithMail(t, { signUp: 'closed', databaseUrl: await createDatabase() });
  const latchkey = commandLine(service);
  const { client, mailbox } = service;
  const read = async (command: string) => {
    const { stdout, stderr, code } = await latchkey(command, '', { NODE_ENV: 'development' });
    t.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const { id, link } = await read('users invite Grace --json');
  const signIn = (username: string) => client.signIn({ username, password: NEW_PASSWORD });
  await t.rejects(signIn('grace'), { code: 'invalid_credentials' }, 'it has no password yet');
  await client.resetPassword({ token: link.split('#token=')[1], newPassword: NEW_PASSWORD });
  t.match((await signIn('grace')).user, { id, username: 'Grace', email: null });
  t.match(await latchkey('users invite grace'), { code: 1, stderr: /The username grace is taken/ });
  t.match(await latchkey('users invite someone --email ada@example.com'), { code: 1, stderr: /without SMTP_URL/ });
  t.match(await latchkey('users invite ab'), { code: 1, stderr: /not a username/ });
  t.match(await latchkey('users invite someone --email a,b@example.com'), { code: 1, stderr: /not an e-mail address/ });

  const email = 'ada@example.com';
  t.same(Object.keys(await read(`users invite ada --email ${email} --json`)), ['id', 'username', 'email', 'expiresAt']);
  const invitation = await mailbox.next(email);
  await client.resetPassword({ ...invitation, newPassword: NEW_PASSWORD });
  t.equal((await signIn(email)).user.email, email, 'the link has proved the address');

  t.match(await latchkey(`users invite other --email ${email.toUpperCase()}`, '', { NODE_ENV: 'development' }), {
    code: 1,
    stderr: /verified that address already/,
  });
  t.equal((await read(`users show ${email} --json`)).username, 'ada');

  const made = await read('users reset-link GRACE --json');
  const again = await read(`users reset-link ${id} --json`);
  t.match(again, { username: 'Grace', link: /\/account\/reset-password#token=[\w-]{64}$/ });
  await t.rejects(client.resetPassword({ token: made.link.split('#token=')[1], newPassword: NEW_PASSWORD }), {
    code: 'invalid_one_time_token',
  });
  await client.resetPassword({ token: again.link.split('#token=')[1], newPassword: `${NEW_PASSWORD}er` });
  t.match(await latchkey('users reset-link nobody'), { code: 1, stderr: /There is no account nobody/ });
  await latchkey('users disable grace');
  t.match(await latchkey('users reset-link grace'), { code: 1, stderr: /is disabled/ });
});

t.test('what the owner does makes the links of others void', async t => {
  const service = await startWithMail(t, { databaseUrl: await createDatabase() });
  const { client, mailbox } = service;
  const isVoid = async (what: string, use: Promise<unknown>) =>
    t.rejects(use, { code: 'invalid_one_time_token' }, what);
  const { credentials, email, token } = await signUpVerified(service);
  const thief = `thief-${credentials.username}@example.com`;
  await client.setEmail(token, { email: thief });
  const verifying = await mailbox.next(thief);
  const seen = await resetLinkOf(service, email);
  const change = { currentPassword: credentials.password, newPassword: NEW_PASSWORD };
  const changed = await client.changePassword(token, change);
  await isVoid('a changed password: a link to another address', client.verifyEmail(verifying));
  await isVoid('and one that resets the password', client.resetPassword({ ...seen, newPassword: NEW_PASSWORD }));

  const old = await resetLinkOf(service, email);
  const next = `next-${credentials.username}@example.com`;
  await client.setEmail(changed.token, { email: next });
  await client.verifyEmail(await mailbox.next(next));
  await isVoid('another address: a link to the old one', client.resetPassword({ ...old, newPassword: NEW_PASSWORD }));

  const pending = await resetLinkOf(service, next);
  const latchkey = commandLine(service);
  await latchkey(`users disable ${credentials.username}`);
  await latchkey(`users enable ${credentials.username}`);
  await isVoid('an account that was disabled', client.resetPassword({ ...pending, newPassword: NEW_PASSWORD }));

  const stolen = await resetLinkOf(service, next);
  t.match(await latchkey(`users remove-email ${next} --json`), { code: 0, stdout: /"changed": true/ });
  await isVoid('an address that the operator removed', client.resetPassword({ ...stolen, newPassword: NEW_PASSWORD }));
  await client.requestPasswordReset({ email: next });
  await t.rejects(mailbox.next(next, { template: 'reset-password', timeoutMs: 500 }));
  t.equal((await client.signIn({ ...credentials, password: NEW_PASSWORD })).user.email, null);
});

t.test('a session that a reset has ended sets no address any more', async t => {
  const first = await startWithMail(t, { databaseUrl: await createDatabase() });
  const other = await startService(t, first.config);
  for (let round = 0; round < 6; round++) {
    const { email, id, token } = await signUpVerified(first);
    const link = await resetLinkOf(first, email);
    let isOver = false;
    const thieves = [first, other].map(async ({ base }, i) => {
      while (!isOver) {
        const init = { method: 'PUT', headers: json(token), body: `{"email":"thief-${i}-${round}@example.com"}` };
        await call(`${base}/auth/email`, init);
        await call(`${base}/auth/email`, { method: 'DELETE', headers: json(token) });
      }
    });
    const { status } = await reset(other, link.token);
    await new Promise(resolve => setTimeout(resolve, 50));
    isOver = true;
    await Promise.all(thieves);
    const { rows } = await first.sql(
      'SELECT purpose FROM auth.one_time_tokens WHERE account_id = $1 AND used_at IS NULL',
      [id],
    );
    // The removal of the address, before the reset, makes the link void.
    t.same(rows, [], `no link is left after ${status}`);
  }
});

t.test('whatever is done to an account at once, nothing waits in a circle', async t => {
  const service = await startWithMail(t, { databaseUrl: await createDatabase() });
  const { base, client, mailbox } = service;
  for (let round = 0; round < 8; round++) {
    const { credentials, email, id, token } = await signUpVerified(service);
    const next = `next-${credentials.username}@example.com`;
    await client.setEmail(token, { email: next });
    const verifying = await mailbox.next(next);
    const resetting = await resetLinkOf(service, email);
    const answers = await Promise.all([
      post(`${base}/auth/email/verify`, { token: verifying.token }),
      reset(service, resetting.token),
      post(`${base}/auth/sign-in`, credentials, { 'user-agent': `Browser ${round}` }),
      call(`${base}/auth/email`, { method: 'DELETE', headers: json(token) }),
      withClient(
        service.config.databaseUrl,
        async (db): Promise<unknown> =>
          round % 2
            ? inTransaction(db, () => deleteAccount(db, id, SERVICE_ORIGIN))
            : setDisabled(db, { username: credentials.username, disabled: true }, SERVICE_ORIGIN),
      ),
    ]);
    const statuses = answers.slice(0, 4).map(answer => (answer as { status: number }).status);
    t.notOk(
      statuses.some(status => status >= 500),
      statuses.join(),
    );
  }
  t.notMatch(service.logs.join(''), /deadlock/);
});

t.test('nobody spends the mails of others without mailing, nor mails to ever more addresses', async t => {
  const service = await startWithMail(t, { throttle: DEFAULTS, trustProxy: ['127.0.0.1'] });
  const { base, mailbox } = service;
  const taken = newCredentials();
  await post(`${base}/auth/sign-up`, taken, from(newAddress()));
  const email = `victim-${taken.username}@example.com`;
  for (let i = 0; i < 4; i++) await post(`${base}/auth/sign-up`, { ...taken, email }, from(newAddress()));
  const { body } = await post(`${base}/auth/sign-up`, { ...newCredentials(), email }, from(newAddress()));
  await mailbox.next(email);
  const statuses = [];
  for (let i = 0; i < 4; i++) {
    const init = { method: 'PUT', headers: json(body.token), body: JSON.stringify({ email: `${i}-${email}` }) };
    statuses.push((await call(`${base}/auth/email`, init)).status);
  }
  t.same(statuses, [202, 202, 202, 429]);
});

t.test('of several sign-ups with an address, the newest link is the only one', async t => {
  const service = await startWithMail(t, { signUp: 'email' });
  const { client, mailbox } = service;
  const [attacker, owner] = [newCredentials(), newCredentials()];
  const email = `${owner.username}@example.com`;
  await client.requestSignUp({ ...attacker, email: email.toUpperCase() });
  const older = await mailbox.next(email);
  await client.requestSignUp({ ...owner, email });
  const newer = await mailbox.next(email);
  await t.rejects(client.verifyEmail(older), { code: 'invalid_one_time_token' });
  await client.verifyEmail(newer);
  t.equal((await client.signIn({ ...owner, username: email })).user.username, owner.username);
  const texts = (await mailsTo(service, email)).map(({ text }) => text);
  t.ok(texts.some(text => text.includes(`of the account ${owner.username}:`)));
  t.same(
    texts.map(text => text.includes('This is not the first sign-up with this address')),
    [false, true],
    'the second mail warns',
  );
});
