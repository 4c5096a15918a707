import { readFileSync } from 'node:fs';
import { readMailbox } from '@latchkey/auth-client/testing/service';
import { isoBase64URL, isoCBOR } from '@simplewebauthn/server/helpers';
import t from 'tap';
import { addApp } from './authenticator-app.js';
import { commandLine } from './command-line.js';
import { get, newCredentials, post, type Service, segment, send, startService, until } from './helper.js';
import {
  addPasskey,
  creationOptions,
  newDevice,
  ORIGIN,
  optionsOf,
  RP_ID,
  signIn,
  signInOptions,
  signUp,
  signUpWithDevice,
  startWithPasskeys,
} from './passkey-helper.js';
import { DEFAULTS, from, newAddress } from './throttled.js';

const factorsOf = async ({ base }: Service, token: string) => (await get(`${base}/auth/factors`, token)).body;
const eventsOf = async ({ sql }: Service, id: string) =>
  (await sql('SELECT event FROM auth.audit_events WHERE user_id = $1 ORDER BY id', [id])).rows.map(
    ({ event }) => event,
  );
const claimsOf = (token: string) => segment(token, 1);

t.test('a passkey is added, listed, renamed, used without a username, and removed', async t => {
  const service = await startWithPasskeys(t);
  const { base } = service;
  const account = await signUp(service);
  const device = newDevice();

  const options = await creationOptions(service, account.token);
  t.match(options, {
    rp: { id: RP_ID, name: 'Example' },
    user: { id: /^[\w-]{43}$/, name: account.credentials.username },
    challenge: /^[\w-]+$/,
    pubKeyCredParams: [
      { type: 'public-key', alg: -7 },
      { type: 'public-key', alg: -8 },
      { type: 'public-key', alg: -257 },
    ],
    timeout: 300_000,
    excludeCredentials: [],
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    attestation: 'none',
  });
  const { rows } = await service.sql('SELECT FROM auth.passkeys UNION ALL SELECT FROM auth.used_challenges');
  t.same(rows, [], 'options write nothing');
  t.equal((await service.sql('SELECT FROM auth.users WHERE passkey_handle IS NOT NULL')).rowCount, 0);

  const added = await send(`${base}/auth/passkeys`, 'POST', account.token, { response: device.create(options) });
  t.match(added, { status: 201, body: { name: 'Passkey', lastUsedAt: null, backedUp: true } });
  t.equal(added.headers.get('cache-control'), 'no-store');
  t.equal(added.body.recoveryCodes.length, 10, 'the first factor comes with recovery codes');

  const refreshed = (await post(`${base}/auth/refresh`, { refreshToken: account.refreshToken })).body;
  t.match(claimsOf(refreshed.token), { acr: 'aal2', amr: ['pwd', 'swk', 'user', 'mfa'] }, 'its session is stronger');
  const { token } = refreshed;
  t.match(
    await send(`${base}/auth/passkeys/options`, 'POST', account.token),
    { status: 401, body: { code: 'insufficient_user_authentication' } },
    'but not its tokens from before',
  );

  const second = newDevice({ backedUp: false, counts: true, algorithm: 'EdDSA' });
  const next = await creationOptions(service, token);
  t.same(next.user.id, options.user.id, 'an account has one user handle');
  t.match(next.excludeCredentials, [{ type: 'public-key', transports: ['internal'] }]);
  const response = second.create(next);
  const other = await send(`${base}/auth/passkeys`, 'POST', token, { response, name: 'Ada’s key' });
  t.match(other, { status: 201, body: { name: 'Ada’s key', backedUp: false } });
  t.notHas(other.body, 'recoveryCodes', 'the second does not');

  t.match(await factorsOf(service, token), {
    password: true,
    totp: null,
    recoveryCodesLeft: 10,
    passkeys: [{ id: added.body.id }, { id: other.body.id, name: 'Ada’s key' }],
  });
  const path = `${base}/auth/passkeys/${added.body.id}`;
  t.match(await send(path, 'PATCH', token, { name: 'Laptop' }), {
    status: 200,
    body: { id: added.body.id, name: 'Laptop' },
  });

  const signedIn = await signIn(service, device);
  t.match(signedIn, { status: 200, body: { user: { id: account.id, username: account.credentials.username } } });
  t.equal(signedIn.headers.get('cache-control'), 'no-store');
  t.match(claimsOf(signedIn.body.token), { acr: 'aal2', amr: ['swk', 'user', 'mfa'] });
  t.match(claimsOf((await signIn(service, second)).body.token), { acr: 'aal2', amr: ['hwk', 'user', 'mfa'] });
  const used = await factorsOf(service, token);
  t.ok(used.passkeys.every((passkey: { lastUsedAt: string | null }) => passkey.lastUsedAt !== null));

  t.equal((await send(path, 'DELETE', token)).status, 204);
  t.match(await send(path, 'DELETE', token), { status: 404, body: { code: 'not_found' } });
  t.match(await send(path, 'PATCH', token, { name: 'x' }), { status: 404, body: { code: 'not_found' } });
  t.match(await signIn(service, device), { status: 401, body: { code: 'invalid_passkey' } });
  t.equal((await factorsOf(service, token)).recoveryCodesLeft, 10, 'the codes stand for the other passkey');
  t.equal((await send(`${base}/auth/passkeys/${other.body.id}`, 'DELETE', token)).status, 204);
  t.match(await factorsOf(service, token), { passkeys: [], recoveryCodesLeft: 0 });
  t.equal((await post(`${base}/auth/sign-in`, account.credentials)).status, 200, 'the password is enough again');
  const events = await eventsOf(service, account.id);
  t.same(
    events.filter(event => event.startsWith('passkey')),
    ['passkey_added', 'passkey_added', 'passkey_renamed', 'passkey_removed', 'passkey_removed'],
  );
});

t.test('a passkey is the second factor of a password', async t => {
  const service = await startWithPasskeys(t);
  const { base } = service;
  const { credentials, device, id } = await signUpWithDevice(service);
  const due = await post(`${base}/auth/sign-in`, credentials);
  t.match(due, { status: 401, body: { code: 'second_factor_required', methods: ['passkey', 'recovery_code'] } });
  const { challenge } = due.body;
  const options = await signInOptions(service, challenge);
  t.match(options, { rpId: RP_ID, userVerification: 'required', allowCredentials: [{ transports: ['internal'] }] });
  const passkey = device.get(options);
  const { userHandle: _, ...anonymous } = passkey.response;
  const done = await post(`${base}/auth/sign-in/second-factor`, {
    challenge,
    passkey: { ...passkey, response: anonymous },
  });
  t.match(done, { status: 200, body: { user: { id } } }, 'an authenticator may leave the user handle out');
  t.match(claimsOf(done.body.token), { acr: 'aal2', amr: ['pwd', 'swk', 'user', 'mfa'] });
  const again = await post(`${base}/auth/sign-in/second-factor`, { challenge, passkey });
  t.match(again, { status: 401, body: { code: 'invalid_second_factor' } });

  t.match(await post(`${base}/auth/sign-in/passkey/options`, { challenge: 'made-up' }), {
    status: 401,
    body: { code: 'invalid_challenge' },
  });
  await service.sql(`UPDATE auth.passkeys SET rp_id = 'example.org'`);
  const orphaned = (await post(`${base}/auth/sign-in`, credentials)).body;
  t.match(
    await post(`${base}/auth/sign-in/passkey/options`, { challenge: orphaned.challenge }),
    { status: 404, body: { code: 'not_found' } },
    'passkeys of another domain are not offered',
  );
  t.match(await signIn(service, device), { status: 401, body: { code: 'invalid_passkey' } }, 'nor accepted');
});

t.test('a passkey steps a session up, in the same session', async t => {
  const service = await startWithPasskeys(t);
  const { base } = service;
  const { device, token } = await signUpWithDevice(service);
  await service.sql(`UPDATE auth.sessions SET auth_time = now() - interval '1 hour'`);
  const other = await signUpWithDevice(service);
  const options = (await send(`${base}/auth/step-up/passkey/options`, 'POST', token)).body;
  t.equal(options.allowCredentials.length, 1);
  const passkey = device.get(options);
  const stepped = await send(`${base}/auth/step-up`, 'POST', token, { passkey });
  t.equal(stepped.status, 200);
  t.match(claimsOf(stepped.body.token), { sid: claimsOf(token).sid, acr: 'aal2' });
  t.ok(claimsOf(stepped.body.token).auth_time > Date.now() / 1000 - 60);
  t.match(await send(`${base}/auth/step-up`, 'POST', token, { passkey }), {
    status: 401,
    body: { code: 'invalid_second_factor' },
  });
  const foreign = other.device.get((await send(`${base}/auth/step-up/passkey/options`, 'POST', other.token)).body);
  t.equal((await send(`${base}/auth/step-up`, 'POST', token, { passkey: foreign })).status, 401);

  const without = await signUp(service);
  t.match(await send(`${base}/auth/step-up/passkey/options`, 'POST', without.token), {
    status: 404,
    body: { code: 'not_found' },
  });
});

/** Signs up with a passkey alone. */
async function signUpAlone({ base }: Service, device = newDevice(), body: object = newCredentials(), name?: string) {
  const { password: _, ...about } = body as { password?: string };
  const options = await post(`${base}/auth/sign-up/passkey/options`, about);
  if (options.status !== 200) return options;
  const response = device.create(options.body);
  return post(`${base}/auth/sign-up/passkey`, { response, ...(name !== undefined && { name }) });
}

t.test('an account is made with a passkey alone', async t => {
  const service = await startWithPasskeys(t);
  const { base } = service;
  const mailbox = readMailbox(base);
  const device = newDevice();
  const { username } = newCredentials();
  const email = `${username}@example.com`;
  const signedUp = await signUpAlone(service, device, { username, email }, 'Phone');
  t.match(signedUp, {
    status: 201,
    body: { tokenType: 'Bearer', refreshToken: String, user: { username, email: null } },
  });
  const { token, user } = signedUp.body;
  t.match(claimsOf(token), { acr: 'aal2', amr: ['swk', 'user', 'mfa'] });
  t.match(await factorsOf(service, token), { password: false, totp: null, passkeys: [{ name: 'Phone' }] });
  t.same(await eventsOf(service, user.id), ['sign_up', 'passkey_added']);
  const { token: link } = await mailbox.next(email, { template: 'verify-email' });
  t.equal((await post(`${base}/auth/email/verify`, { token: link })).status, 204);
  t.equal((await post(`${base}/auth/refresh`, { refreshToken: signedUp.body.refreshToken })).status, 200);
  t.match(await signIn(service, device), { status: 200, body: { user: { id: user.id, email } } });
  t.match(await post(`${base}/auth/sign-in`, { username, password: 'open sesame 42' }), {
    status: 401,
    body: { code: 'invalid_credentials' },
  });

  const [{ id }] = (await factorsOf(service, token)).passkeys;
  const remove = (token: string) => send(`${base}/auth/passkeys/${id}`, 'DELETE', token);
  t.match(await remove(token), { status: 409, body: { code: 'last_credential' } });
  t.equal((await addPasskey(service, token, newDevice())).status, 201);
  await service.sql(`UPDATE auth.passkeys SET rp_id = 'example.org' WHERE id <> $1`, [id]);
  t.match(await remove(token), { status: 409 }, 'a passkey of another domain does not sign in');
  await service.sql(`UPDATE auth.passkeys SET rp_id = $1`, [RP_ID]);
  t.equal((await remove(token)).status, 204);

  const taken = await signUpAlone(service, newDevice(), { username: username.toUpperCase() });
  t.match(taken, { status: 409, body: { code: 'username_taken' } });
  t.match(await signUpAlone(service, newDevice(), { username: 'a b' }), {
    status: 400,
    body: { code: 'invalid_request' },
  });
  t.match(await signUpAlone(service, newDevice(), { ...newCredentials(), email: 'a@b..c' }), {
    status: 400,
    body: { code: 'invalid_request' },
  });
  const options = (await post(`${base}/auth/sign-up/passkey/options`, { username: newCredentials().username })).body;
  const response = newDevice().create(options);
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => post(`${base}/auth/sign-up/passkey`, { response })),
  );
  t.equal(answers.filter(({ status }) => status === 201).length, 1, 'of many uses of a registration, one succeeds');
  t.ok(answers.every(({ status }) => status === 201 || status === 409));
  await service.sql(`UPDATE auth.users SET username = $1 WHERE id = $2`, [
    newCredentials().username,
    answers.find(({ status }) => status === 201)?.body.user.id,
  ]);
  t.match(
    await post(`${base}/auth/sign-up/passkey`, { response }),
    { status: 400, body: { code: 'invalid_passkey' } },
    'its account has another name',
  );

  for (const [closed, detail] of [
    ['closed', /those who run/],
    ['email', /with a password/],
  ] as const) {
    const { base } = await startWithPasskeys(t, { ...service.config, signUp: closed });
    for (const [path, body] of [
      ['passkey/options', { username: 'somebody' }],
      ['passkey', { response }],
    ]) {
      t.match(
        await post(`${base}/auth/sign-up/${path}`, body),
        { status: 403, body: { code: 'sign_up_closed', detail } },
        closed,
      );
    }
  }
});

t.test('of a hundred uses of an assertion on three replicas, one starts a session', async t => {
  const first = await startWithPasskeys(t);
  const replicas = [first, await startService(t, first.config), await startService(t, first.config)];
  for (const device of [newDevice(), newDevice({ counts: true })]) {
    const { id, credentials } = await signUpWithDevice(first, device);
    const sessions = async () =>
      (await first.sql('SELECT count(*)::int AS count FROM auth.sessions WHERE user_id = $1', [id])).rows[0].count;
    const before = await sessions();
    const response = device.get(await signInOptions(first));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        post(`${(replicas[i % 3] as Service).base}/auth/sign-in/passkey`, { response }),
      ),
    );
    t.equal(answers.filter(({ status }) => status === 200).length, 1);
    const codes = new Set(answers.filter(({ status }) => status !== 200).map(({ body }) => body.code));
    t.same([...codes], ['invalid_passkey']);
    t.equal(await sessions(), before + 1);

    const { challenge } = (await post(`${first.base}/auth/sign-in`, credentials)).body;
    const passkey = device.get(await signInOptions(first, challenge));
    const seconds = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        post(`${(replicas[i % 3] as Service).base}/auth/sign-in/second-factor`, { challenge, passkey }),
      ),
    );
    t.equal(seconds.filter(({ status }) => status === 200).length, 1);
    t.equal(await sessions(), before + 2);
  }
});

t.test('an account has at most twenty passkeys', async t => {
  const service = await startWithPasskeys(t);
  const { base } = service;
  const { token } = await signUpWithDevice(service);
  const options = await Promise.all(Array.from({ length: 25 }, () => creationOptions(service, token)));
  const added = await Promise.all(
    options.map(options => send(`${base}/auth/passkeys`, 'POST', token, { response: newDevice().create(options) })),
  );
  t.equal(added.filter(({ status }) => status === 201).length, 19);
  for (const { status, body } of added.filter(({ status }) => status !== 201)) {
    t.same([status, body.code], [409, 'too_many_passkeys']);
  }
  t.match(await send(`${base}/auth/passkeys/options`, 'POST', token), {
    status: 409,
    body: { code: 'too_many_passkeys' },
  });
  const { passkeys } = await factorsOf(service, token);
  t.equal(passkeys.length, 20);
  t.equal((await send(`${base}/auth/passkeys/${passkeys[0].id}`, 'DELETE', token)).status, 204);
  const device = newDevice();
  t.equal((await addPasskey(service, token, device)).status, 201);

  const response = device.create(options[added.findIndex(({ status }) => status === 201)]);
  t.match(
    await send(`${base}/auth/passkeys`, 'POST', token, { response }),
    { status: 400, body: { code: 'invalid_passkey' } },
    'a registration that was used',
  );
});

t.test('two first passkeys at once have one user handle', async t => {
  const service = await startWithPasskeys(t);
  const { id, refreshToken, ...account } = await signUp(service);
  // A session that has the highest assurance may add a second one.
  await addApp(service, account.token);
  const { token } = (await post(`${service.base}/auth/refresh`, { refreshToken })).body;
  const responses = await Promise.all(
    [newDevice(), newDevice()].map(async device => device.create(await creationOptions(service, token))),
  );
  const answers = await Promise.all(
    responses.map(response => send(`${service.base}/auth/passkeys`, 'POST', token, { response })),
  );
  t.same(answers.map(({ status }) => status).sort(), [201, 400]);
  const { rows } = await service.sql(`SELECT name FROM auth.identifiers WHERE user_id = $1 AND kind = 'passkey'`, [id]);
  t.equal(rows.length, 1);
});

t.test('the counter and the backup state of a passkey are kept', async t => {
  const service = await startWithPasskeys(t);
  const device = newDevice({ counts: true });
  await signUpWithDevice(service, device);
  const stored = async () =>
    (await service.sql('SELECT sign_count::int AS count, backed_up, backup_eligible FROM auth.passkeys')).rows[0];
  const use = async (misconduct: object) =>
    (
      await post(`${service.base}/auth/sign-in/passkey`, {
        response: device.get(await signInOptions(service), misconduct),
      })
    ).status;
  t.same(await stored(), { count: 1, backed_up: true, backup_eligible: true });
  t.equal(await use({ signCount: 7 }), 200);
  t.same(await stored(), { count: 7, backed_up: true, backup_eligible: true });
  t.equal(await use({ signCount: 7 }), 401);
  t.equal(await use({ signCount: 0 }), 401);
  t.equal(await use({ signCount: 2 ** 32 - 1 }), 200);
  t.equal(await use({ backedUp: false, signCount: 0 }), 401);
});

t.test('the attestation of an authenticator is not looked at', async t => {
  const service = await startWithPasskeys(t);
  const { token } = await signUp(service);
  const device = newDevice();
  const registration = device.create(await creationOptions(service, token));
  const attested = isoCBOR.decodeFirst<Map<string, unknown>>(
    isoBase64URL.toBuffer(registration.response.attestationObject),
  );
  attested.set('fmt', 'packed').set('attStmt', new Map([['x5c', [new Uint8Array([1, 2, 3])]]]));
  const attestationObject = isoBase64URL.fromBuffer(isoCBOR.encode(attested as never));
  const response = { ...registration, response: { ...registration.response, attestationObject } };
  t.equal((await send(`${service.base}/auth/passkeys`, 'POST', token, { response })).status, 201);
  const signedIn = await signIn(service, device);
  t.equal(signedIn.status, 200);

  const strong = signedIn.body.token;
  const { clientDataJSON } = newDevice().create(await creationOptions(service, strong)).response;
  const again = { ...registration, response: { ...registration.response, clientDataJSON } };
  t.match(
    await send(`${service.base}/auth/passkeys`, 'POST', strong, { response: again }),
    { status: 400, body: { code: 'invalid_passkey', detail: /already/ } },
    'so a registration can be made again for other options, but the account has its passkey',
  );
});

t.test('owners are told of passkeys that are added and removed', async t => {
  const service = await startWithPasskeys(t);
  const { base } = service;
  const mailbox = readMailbox(base);
  const { username } = newCredentials();
  const email = `${username}@example.com`;
  const { token } = (await signUpAlone(service, newDevice(), { username, email })).body;
  await post(`${base}/auth/email/verify`, { token: (await mailbox.next(email, { template: 'verify-email' })).token });
  const { id } = (await addPasskey(service, token, newDevice())).body;
  t.equal((await mailbox.next(email, { template: 'passkey-added' as never })).to, email);
  t.equal((await send(`${base}/auth/passkeys/${id}`, 'DELETE', token)).status, 204);
  t.equal((await mailbox.next(email, { template: 'passkey-removed' as never })).to, email);
});

t.test('with SECOND_FACTOR=required, who has none may add a passkey', async t => {
  const service = await startWithPasskeys(t, { secondFactor: 'required' });
  const { token, refreshToken } = await signUp(service);
  t.match(await get(`${service.base}/auth/me`, token), {
    status: 401,
    body: { code: 'insufficient_user_authentication' },
  });
  t.equal((await addPasskey(service, token, newDevice())).status, 201);
  const refreshed = (await post(`${service.base}/auth/refresh`, { refreshToken })).body;
  t.equal((await get(`${service.base}/auth/me`, refreshed.token)).status, 200);
});

t.test('adding and removing a passkey needs a fresh session', async t => {
  const service = await startWithPasskeys(t, { reauthenticateAfterS: 0 });
  const { token } = await signUp(service);
  await new Promise(resolve => setTimeout(resolve, 1100));
  for (const [method, path, body] of [
    ['POST', '/auth/passkeys/options', undefined],
    ['DELETE', '/auth/passkeys/019a0000-0000-7000-8000-000000000000', undefined],
    ['POST', '/auth/passkeys', { response: newDevice().create(optionsOf('x')) }],
  ] as const) {
    const answer = await send(service.base + path, method, token, body);
    t.match(answer, { status: 401, body: { code: 'insufficient_user_authentication' } }, path);
    t.match(answer.headers.get('www-authenticate'), /max_age=0/);
  }
});

t.test('the first password of an account needs a fresh session', async t => {
  const service = await startWithPasskeys(t, { reauthenticateAfterS: 1 });
  const { base } = service;
  const { body: options } = await post(`${base}/auth/sign-up/passkey/options`, { username: newCredentials().username });
  const { body } = await post(`${base}/auth/sign-up/passkey`, { response: newDevice().create(options) });
  await new Promise(resolve => setTimeout(resolve, 2100));
  const answer = await send(`${base}/auth/password`, 'PUT', body.token, { newPassword: 'brand new 42' });
  t.match(answer, { status: 401, body: { code: 'insufficient_user_authentication' } });
});

t.test('a service without a domain has no passkeys', async t => {
  const service = await startService(t, { passkeys: { rpId: undefined, rpName: 'Example', origins: [] } });
  const { token, credentials } = await signUp(service);
  for (const [method, path, body] of [
    ['POST', '/auth/passkeys/options'],
    ['POST', '/auth/passkeys', {}],
    ['PATCH', '/auth/passkeys/x', {}],
    ['DELETE', '/auth/passkeys/x'],
    ['POST', '/auth/sign-in/passkey/options', {}],
    ['POST', '/auth/sign-in/passkey', {}],
    ['POST', '/auth/step-up/passkey/options'],
    ['POST', '/auth/sign-up/passkey/options', {}],
    ['POST', '/auth/sign-up/passkey', {}],
    ['GET', '/.well-known/webauthn'],
  ] as const) {
    t.match(await send(service.base + path, method, token, body), { status: 404 }, path);
  }
  t.equal((await post(`${service.base}/auth/sign-in`, credentials)).status, 200);
  const device = newDevice();
  device.create(optionsOf('x'));
  const passkey = device.get({ rpId: RP_ID, challenge: 'x', timeout: 1, userVerification: 'required' });
  t.match(await send(`${service.base}/auth/step-up`, 'POST', token, { passkey }), { status: 401 });
});

t.test('pages of which origins may use passkeys', async t => {
  const service = await startWithPasskeys(t, {
    passkeys: {
      rpId: RP_ID,
      rpName: 'Example',
      origins: [ORIGIN, 'https://example.de', 'android:apk-key-hash:x', 'http://localhost:*'],
    },
  });
  const related = await get(`${service.base}/.well-known/webauthn`);
  t.same(related.body, { origins: [ORIGIN, 'https://example.de'] });
  t.match(related.headers.get('content-type'), /^application\/json/);
  t.equal(related.headers.get('access-control-allow-origin'), '*');
  t.match(related.headers.get('cache-control'), /^public, max-age=\d+$/);

  const { device } = await signUpWithDevice(service);
  const use = async (origin: string) =>
    (
      await post(`${service.base}/auth/sign-in/passkey`, {
        response: device.get(await signInOptions(service), { origin }),
      })
    ).status;
  for (const origin of ['https://example.de', 'android:apk-key-hash:x', 'http://localhost', 'http://localhost:5173']) {
    t.equal(await use(origin), 200, origin);
  }
  for (const origin of [
    ...['https://evil.example', 'https://app.example.com.evil.example', 'https://app.example.com:444', `${ORIGIN}/`],
    ...['http://localhost:*', 'http://localhost:1:2', 'https://localhost', 'http://localhost.evil.example', 'null', ''],
  ]) {
    t.equal(await use(origin), 401, origin);
  }
});

t.test('an account changes its factors thirty times an hour', async t => {
  const service = await startWithPasskeys(t, { throttle: DEFAULTS });
  // Which has added one.
  const { passkey, token } = await signUpWithDevice(service);
  const rename = (i: number) =>
    send(`${service.base}/auth/passkeys/${passkey.id}`, 'PATCH', token, { name: `Phone ${i}` });
  for (let i = 1; i < 30; i++) t.equal((await rename(i)).status, 200);
  const refused = await rename(30);
  t.match(refused, { status: 429, body: { code: 'too_many_requests' } });
  t.equal(refused.headers.get('retry-after'), '3600');
  t.equal((await send(`${service.base}/auth/passkeys/${passkey.id}`, 'DELETE', token)).status, 429);
  const { rows } = await service.sql(`SELECT count(*)::int FROM auth.audit_events WHERE event = 'passkey_renamed'`);
  t.same(rows, [{ count: 29 }]);
});

t.test('an account uses its passkeys 120 times an hour, in sign-ins and step-ups together', async t => {
  const service = await startWithPasskeys(t, { throttle: { ...DEFAULTS, passkeyUses: { quota: 4, windowS: 3600 } } });
  t.same(DEFAULTS.passkeyUses, { quota: 120, windowS: 3600 });
  // Which signs in with it once.
  const { device, token } = await signUpWithDevice(service);
  const stepUp = async () => {
    const { body } = await send(`${service.base}/auth/step-up/passkey/options`, 'POST', token);
    return send(`${service.base}/auth/step-up`, 'POST', token, { passkey: device.get(body) });
  };
  for (const use of [() => signIn(service, device), stepUp, stepUp]) t.equal((await use()).status, 200);
  for (const use of [() => signIn(service, device), stepUp]) {
    const refused = await use();
    t.match(refused, { status: 429, body: { code: 'too_many_requests' } });
    t.ok(Number(refused.headers.get('retry-after')) > 3500);
  }
  const { rows } = await service.sql(
    `SELECT event, count(*)::int FROM auth.audit_events WHERE event IN ('sign_in', 'step_up') GROUP BY event ORDER BY event`,
  );
  t.same(rows, [
    { event: 'sign_in', count: 2 },
    { event: 'step_up', count: 2 },
  ]);
  t.equal((await signIn(service, (await signUpWithDevice(service)).device)).status, 200, 'another account may');
  const { stderr } = await commandLine(service)(`users unlock ${claimsOf(token).username}`);
  t.match(stderr, /Forgiven: sign-ins and step-ups with its passkeys: 4 in an hour, blocked for \d+ s\./);
  await until(async () => (await signIn(service, device)).status === 200, 'the operator lets the owner in');
});

t.test('a passkey that was used already counts for nothing at its owner', async t => {
  const service = await startWithPasskeys(t, { throttle: { ...DEFAULTS, passkeyUses: { quota: 4, windowS: 3600 } } });
  const { device } = await signUpWithDevice(service);
  const options = (await post(`${service.base}/auth/sign-in/passkey/options`, {})).body;
  const replay = { response: device.get(options) };
  const statuses = [];
  for (let i = 0; i < 8; i++) statuses.push((await post(`${service.base}/auth/sign-in/passkey`, replay)).status);
  t.same(statuses, [200, 401, 401, 401, 401, 401, 401, 401]);
  t.equal((await signIn(service, device)).status, 200);
});

t.test('the invalid passkeys of an address are limited, and valid ones count for nothing', async t => {
  const service = await startWithPasskeys(t, {
    throttle: { ...DEFAULTS, passkey: { quota: 3, windowS: 60 } },
    trustProxy: ['127.0.0.1'],
  });
  const { device } = await signUpWithDevice(service);
  const address = from(newAddress());
  const unknown = newDevice();
  unknown.create(optionsOf('x'));
  const statuses = async (device: typeof unknown, headers: Record<string, string>) =>
    (await signIn(service, device, headers)).status;
  for (let i = 0; i < 5; i++) t.equal(await statuses(device, address), 200);
  for (let i = 0; i < 3; i++) t.equal(await statuses(unknown, address), 401);
  const refused = await signIn(service, device, address);
  t.match(refused, { status: 429, body: { code: 'too_many_requests' } });
  t.ok(refused.headers.get('retry-after'));
  t.equal(await statuses(device, from(newAddress())), 200, 'from elsewhere it signs in');
});

t.test('the service loads the library of passkeys with the first one', async t => {
  const dist = new URL('../dist/', import.meta.url);
  const read = new Set<string>();
  const follow = (file: string) => {
    if (read.has(file)) return;
    read.add(file);
    const text = readFileSync(new URL(file, dist), 'utf8');
    t.notMatch(text, 'Unexpected authentication response challenge', `${file} has it not`);
    for (const [, chunk] of text.matchAll(/(?:from|import) ?"\.\/(?:chunks\/)?([\w-]+\.js)"/g))
      follow(`chunks/${chunk}`);
  };
  follow('server.js');
  t.ok(read.size > 3);
});
