import { setTimeout as sleep } from 'node:timers/promises';
import { readMailbox } from '@latchkey/auth-client/testing/service';
import t from 'tap';
import {
  addApp,
  assuranceOf,
  challengeOf,
  complete,
  newCode,
  signInWithApp,
  signUpWithApp,
  wrongCodeOf,
} from './authenticator-app.js';
import {
  type Answer,
  bearer,
  call,
  get,
  newCredentials,
  post,
  type Service,
  segment,
  send,
  startService,
} from './helper.js';
import { from, guess, newAddress, startThrottled } from './throttled.js';

const INSUFFICIENT = 'insufficient_user_authentication';
const NEW_PASSWORD = 'brand new and 42 long';
const codesOf = ({ status, body }: Answer) => [status, body?.code];
const demandOf = ({ status, body, headers }: Answer) => [status, body?.code, headers.get('www-authenticate')];
const demanding = (...parts: string[]) => [
  ...[401, INSUFFICIENT],
  ['Bearer error="insufficient_user_authentication"', ...parts].join(', '),
];
const stepUp = (service: Service, token: string, proof: object, headers = {}) =>
  send(`${service.base}/auth/step-up`, 'POST', token, proof, headers);
const refresh = ({ base }: Service, refreshToken: string) => post(`${base}/auth/refresh`, { refreshToken });
/** Makes every session look as if it had been proved so many seconds earlier. */
const age = ({ sql }: Service, seconds: number) =>
  sql('UPDATE auth.sessions SET auth_time = auth_time - make_interval(secs => $1)', [seconds]);
const FRESH_ROUTES = [
  ['POST', '/auth/totp'],
  ['POST', '/auth/recovery-codes'],
  ['DELETE', '/auth/totp'],
  ['DELETE', '/auth/email'],
] as const;

t.test('a session is proved again, and stays the same session', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const { body: plain } = await post(`${service.base}/auth/sign-up`, newCredentials());
  await age(service, 3600);

  const again = await stepUp(service, plain.token, { password: 'open sesame 42' });
  t.equal(again.status, 200);
  t.match(assuranceOf(again.body.token), { amr: ['pwd'], acr: 'aal1' });
  t.ok(assuranceOf(again.body.token).auth_time >= assuranceOf(plain.token).auth_time, 'the time is new');
  t.equal(segment(again.body.token, 1).sid, segment(plain.token, 1).sid);
  t.equal(again.body.user.id, plain.user.id);

  // The session began by a password, before the account had the app.
  const other = (await signInWithApp(service, ada)).sid;
  await service.sql(`UPDATE auth.sessions SET amr = '{pwd}' WHERE id = $1`, [ada.sid]);
  const weak = (await refresh(service, ada.refreshToken)).body;
  t.equal(assuranceOf(weak.token).acr, 'aal1');
  const byPassword = await stepUp(service, weak.token, { password: ada.credentials.password });
  t.match(assuranceOf(byPassword.body.token), { amr: ['pwd'], acr: 'aal1' }, 'a password proves no more than itself');
  for (const proof of ['totp', 'recoveryCode']) {
    await age(service, 3600);
    const answer = await stepUp(service, weak.token, {
      [proof]: proof === 'totp' ? await newCode(service, ada.secret) : ada.codes[0],
    });
    t.equal(answer.status, 200, proof);
    const { amr, acr, auth_time } = assuranceOf(answer.body.token);
    t.same([amr, acr], [['pwd', 'otp', 'mfa'], 'aal2']);
    t.ok(Date.now() / 1000 - auth_time < 60);
    t.equal(segment(answer.body.token, 1).sid, ada.sid);
  }
  t.not(other, ada.sid);
  const { rows } = await service.sql(
    `SELECT session_id, details FROM auth.audit_events WHERE event = 'step_up' AND user_id = $1 ORDER BY id`,
    [ada.id],
  );
  t.same(
    rows.map(({ session_id, details }) => [session_id, details.amr.at(-1)]),
    [
      [ada.sid, 'pwd'],
      [ada.sid, 'mfa'],
      [ada.sid, 'mfa'],
    ],
  );
});

t.test('a wrong proof changes nothing, and an ended session is not proved again', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const { token, refreshToken } = await signInWithApp(service, ada);
  for (const proof of [
    { totp: wrongCodeOf(ada.secret) },
    { recoveryCode: ada.codes[0]?.replace(/.$/, last => (last === 'x' ? 'y' : 'x')) },
  ]) {
    t.same(codesOf(await stepUp(service, token, proof)), [401, 'invalid_second_factor']);
  }
  for (const proof of [{}, { totp: 1 }, { totp: '123456', password: 'x' }, { challenge: 'x', totp: '123456' }]) {
    t.same(codesOf(await stepUp(service, token, proof)), [400, 'invalid_request']);
  }
  t.same(codesOf(await stepUp(service, ada.token.slice(0, -2), { password: 'x' })), [401, 'invalid_token']);
  t.equal((await refresh(service, refreshToken)).status, 200);
  await send(`${service.base}/auth/sign-out`, 'POST', token, { scope: 'all' });
  const totp = await newCode(service, ada.secret);
  t.same(codesOf(await stepUp(service, token, { totp })), [401, 'invalid_token']);
  t.equal(
    (await complete(service, await challengeOf(service, ada.credentials), { totp })).status,
    200,
    'the code is good',
  );
});

t.test('after a step-up, refresh tokens live and die as after a refresh', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const signedIn = await signInWithApp(service, ada);
  const stepped = (await stepUp(service, signedIn.token, { totp: await newCode(service, ada.secret) })).body;
  const repeated = await refresh(service, signedIn.refreshToken);
  t.equal(repeated.status, 200, 'the one before is good for the grace period');
  t.same(assuranceOf(repeated.body.token), assuranceOf(stepped.token));
  t.equal(repeated.body.refreshToken, stepped.refreshToken, 'and gives the same successor');
  const next = (await refresh(service, stepped.refreshToken)).body;
  t.same(assuranceOf(next.token), assuranceOf(stepped.token));
  const theft = await refresh(service, signedIn.refreshToken);
  t.same(codesOf(theft), [401, 'invalid_refresh_token'], 'an older one was stolen');
  t.same(codesOf(await refresh(service, next.refreshToken)), [401, 'invalid_refresh_token'], 'which ends the session');

  const strict = await startService(t, { ...service.config, refreshGraceS: 0 });
  const bea = await signUpWithApp(strict);
  const before = await signInWithApp(strict, bea);
  const after = (await stepUp(strict, before.token, { totp: await newCode(strict, bea.secret) })).body;
  t.equal((await refresh(strict, before.refreshToken)).status, 401);
  t.equal((await refresh(strict, after.refreshToken)).status, 401);
});

t.test('a password does not renew what a second factor has proved', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const { token } = await signInWithApp(service, ada);
  await age(service, 3600);
  const { password } = ada.credentials;
  t.same(demandOf(await stepUp(service, token, { password })), demanding('acr_values="aal2"'));
  const change = { currentPassword: password, newPassword: NEW_PASSWORD };
  const changed = await send(`${service.base}/auth/password`, 'PUT', token, change);
  t.equal(changed.status, 200);
  const { acr, auth_time } = assuranceOf(changed.body.token);
  t.equal(acr, 'aal2');
  t.ok(Date.now() / 1000 - auth_time > 3500, 'the time is that of the second factor');
  const refused = await send(`${service.base}/auth/recovery-codes`, 'POST', changed.body.token);
  t.same(demandOf(refused), demanding('acr_values="aal2"', 'max_age=600'));
  const stepped = await stepUp(service, changed.body.token, { totp: await newCode(service, ada.secret) });
  t.equal((await send(`${service.base}/auth/recovery-codes`, 'POST', stepped.body.token)).status, 200);
});

t.test('where the last factor is gone, a password proves the session again, as no more than a password', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const { token } = await signInWithApp(service, ada);
  await send(`${service.base}/auth/totp`, 'DELETE', token);
  await age(service, 3600);
  const stepped = await stepUp(service, token, { password: ada.credentials.password });
  t.equal(stepped.status, 200);
  t.match(assuranceOf(stepped.body.token), { amr: ['pwd'], acr: 'aal1' });
  t.equal((await send(`${service.base}/auth/totp`, 'POST', stepped.body.token)).status, 200);
});

t.test('credential routes need the highest assurance that the account can reach, lately', async t => {
  const service = await startService(t);
  const credentials = newCredentials();
  const weak = (await post(`${service.base}/auth/sign-up`, credentials)).body;
  const { secret } = await addApp(service, weak.token);
  for (const route of FRESH_ROUTES) {
    t.same(
      demandOf(await send(service.base + route[1], route[0], weak.token)),
      demanding('acr_values="aal2"', 'max_age=600'),
      route.join(' '),
    );
  }
  const put = await send(`${service.base}/auth/email`, 'PUT', weak.token, { email: 'ada@example.com' });
  t.same(demandOf(put), demanding('acr_values="aal2"', 'max_age=600'));
  const strong = (await refresh(service, weak.refreshToken)).body;
  t.match(
    assuranceOf(strong.token),
    { amr: ['pwd', 'otp', 'mfa'], acr: 'aal2' },
    'the app was proved when it was added',
  );
  t.equal((await send(`${service.base}/auth/email`, 'PUT', strong.token, { email: 'ada@example.com' })).status, 202);

  await age(service, 700);
  const old = (await refresh(service, strong.refreshToken)).body;
  for (const route of FRESH_ROUTES) {
    t.same(
      demandOf(await send(service.base + route[1], route[0], old.token)),
      demanding('acr_values="aal2"', 'max_age=600'),
      route.join(' '),
    );
  }
  const { body } = await stepUp(service, old.token, { totp: await newCode(service, secret) });
  for (const route of FRESH_ROUTES)
    t.ok((await send(service.base + route[1], route[0], body.token)).status < 300, route.join(' '));
});

t.test('a reset of the password keeps the factors, and the sign-in still asks for one', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const email = `${ada.credentials.username}@example.com`;
  await service.sql('UPDATE auth.users SET email = $1 WHERE id = $2', [email, ada.id]);
  await service.sql(`INSERT INTO auth.identifiers VALUES ($1, 'email', $2)`, [email, ada.id]);
  await post(`${service.base}/auth/password/forgot`, { email });
  const { token } = await readMailbox(service.base).next(email, { template: 'reset-password' });
  t.equal((await post(`${service.base}/auth/password/reset`, { token, newPassword: NEW_PASSWORD })).status, 204);
  const challenge = await challengeOf(service, { username: email, password: NEW_PASSWORD });
  t.equal((await complete(service, challenge, { totp: await newCode(service, ada.secret) })).status, 200);
});

t.test('a sign-up that comes again asks for the factor that the account has since', async t => {
  const service = await startService(t);
  const key = { 'idempotency-key': '"a-sign-up-of-ada"' };
  const ada = await signUpWithApp(service, key);
  const again = () => post(`${service.base}/auth/sign-up`, ada.credentials, key);
  t.match((await again()).body, { code: 'second_factor_required', methods: ['totp', 'recovery_code'] });
  const { token } = await signInWithApp(service, ada);
  await send(`${service.base}/auth/totp`, 'DELETE', token);
  const { status, body } = await again();
  t.equal(status, 201);
  t.match(assuranceOf(body.token), { amr: ['pwd'], acr: 'aal1' }, 'nor is the session resumed that has proved it');
});

t.test('a second factor that a session proves again forgives no guesses at the password', async t => {
  const service = await startThrottled(t, { pair: { quota: 4, windowS: 900 } });
  const address = newAddress();
  const ada = await signUpWithApp(service, from(address));
  const guessIn = () => stepUp(service, ada.token, { password: 'wrong' }, from(address));
  for (let i = 0; i < 3; i++) {
    t.equal((await guess(service, ada.credentials.username, address)).status, 401);
    await service.sql(`UPDATE auth.sessions SET amr = '{pwd}'`);
    t.same(codesOf(await guessIn()), [401, 'invalid_credentials']);
  }
  const proved = await stepUp(service, ada.token, { totp: await newCode(service, ada.secret) }, from(address));
  t.equal(proved.status, 200);
  await service.sql(`UPDATE auth.sessions SET amr = '{pwd}'`);
  t.equal((await guess(service, ada.credentials.username, address)).status, 401);
  t.equal((await guess(service, ada.credentials.username, address)).status, 429);
  t.equal((await guessIn()).status, 401);
  t.equal((await guessIn()).status, 429);

  const tries = [];
  for (let i = 0; i < 6; i++) {
    tries.push((await stepUp(service, ada.token, { recoveryCode: 'wrong' }, from(address))).status);
  }
  t.same(tries, [401, 401, 401, 401, 401, 429], 'five tries a session');
});

t.test('a gateway demands an assurance and its age', async t => {
  const service = await startService(t);
  const ada = await signUpWithApp(service);
  const { token: strong } = await signInWithApp(service, ada);
  const verify = (token: string, query = '') => get(`${service.base}/auth/verify${query}`, token);
  for (const [token, acr] of [
    [ada.token, 'aal1'],
    [strong, 'aal2'],
  ] as const) {
    const [route, early] = [await verify(token), await verify(token)];
    for (const answer of [route, early]) t.same([answer.status, answer.headers.get('x-auth-acr')], [200, acr]);
    t.equal((await verify(token, '?acr=aal1')).status, 200);
    t.equal((await verify(token, '?max_age=600')).headers.get('x-auth-acr'), acr);
  }
  t.same(demandOf(await verify(ada.token, '?acr=aal2')), demanding('acr_values="aal2"'));
  t.equal((await verify(strong, '?acr=aal2&max_age=600')).status, 200);
  await age(service, 700);
  const { token: old } = (await stepUp(service, strong, { totp: await newCode(service, ada.secret) })).body;
  await age(service, 700);
  const aged = (await refresh(service, (await stepUp(service, old, { recoveryCode: ada.codes[0] })).body.refreshToken))
    .body;
  t.equal((await verify(aged.token, '?acr=aal2&max_age=60')).status, 200);
  await sleep(1100);
  t.same(demandOf(await verify(aged.token, '?acr=aal2&max_age=0')), demanding('acr_values="aal2"', 'max_age=0'));
  for (const query of [
    '?acr=aal3',
    '?acr=',
    '?max_age=-1',
    '?max_age=1e3',
    '?max_age=',
    '?max_age=9999999999',
    '?acr=aal1&acr=aal2',
  ]) {
    t.same(codesOf(await verify(strong, query)), [400, 'invalid_request'], query);
  }
  const posted = await call(`${service.base}/auth/verify?acr=aal2`, { method: 'POST', headers: bearer(ada.token) });
  t.equal(posted.status, 401, 'with whatever method');
});

t.test('with SECOND_FACTOR=required, a session without one may add one, and nothing else', async t => {
  const service = await startService(t, { secondFactor: 'required' });
  const { base } = service;
  const credentials = newCredentials();
  const weak = (await post(`${base}/auth/sign-up`, credentials)).body;
  const refused = demanding('acr_values="aal2"');
  const change = { currentPassword: credentials.password, newPassword: NEW_PASSWORD };
  for (const [route, body] of [
    [['GET', '/auth/me']],
    [['GET', '/auth/sessions']],
    [['DELETE', `/auth/sessions/${segment(weak.token, 1).sid}`]],
    [['GET', '/auth/email']],
    [['PUT', '/auth/email'], { email: 'ada@example.com' }],
    [['DELETE', '/auth/email']],
    [['PUT', '/auth/password'], change],
    [['POST', '/auth/recovery-codes']],
    [['GET', '/auth/verify']],
    [['GET', '/auth/verify']],
    [['GET', '/auth/verify?acr=aal1']],
  ] as [readonly [string, string], object?][]) {
    t.same(demandOf(await send(service.base + route[1], route[0], weak.token, body)), refused, route.join(' '));
  }
  const other = (await post(`${base}/auth/sign-in`, credentials)).body;
  t.equal((await send(`${service.base}/auth/sign-out`, 'POST', other.token)).status, 204);
  t.equal((await get(`${base}/auth/factors`, weak.token)).status, 200);
  const proved = await stepUp(service, weak.token, { password: credentials.password });
  t.equal(proved.status, 200);
  const refreshed = (await refresh(service, proved.body.refreshToken)).body;
  const { secret } = await addApp(service, refreshed.token);
  t.same(demandOf(await get(`${base}/auth/me`, refreshed.token)), refused, 'until the session is refreshed');
  const strong = (await refresh(service, refreshed.refreshToken)).body;
  t.equal((await get(`${base}/auth/me`, strong.token)).status, 200);
  for (let i = 0; i < 2; i++)
    t.equal((await get(`${base}/auth/verify`, strong.token)).headers.get('x-auth-acr'), 'aal2');
  const { token } = await signInWithApp(service, { credentials, secret });
  t.equal((await send(`${service.base}/auth/password`, 'PUT', token, change)).status, 200);
});
