import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import {
  createAuthClient,
  createUserSession,
  isAuthClientError,
  SecondFactorRequiredError,
  type SessionStore,
  type StepUpProof,
  type UserSessionOptions,
} from '#src/index.js';
import { createTestIssuer, createVirtualAuthenticator, type TestIssuerOptions } from '#src/testing/index.js';

const credentials = { username: 'ada', password: 'open sesame 42' };
const HOUR_S = 3600;
const WEAK = { code: 'insufficient_user_authentication' };

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());

/** A test issuer, a client of it, and a session of Ada in a store. */
async function start(t: Test, options: Pick<UserSessionOptions, 'onStepUp'> & TestIssuerOptions = {}) {
  const { onStepUp, ...issuerOptions } = options;
  const auth = createTestIssuer(issuerOptions);
  t.teardown(() => auth.close());
  const requests: string[] = [];
  const network = { loseNext: '', downFor: '' };
  const client = createAuthClient({
    baseUrl: auth.issuer,
    maxRetries: 0,
    fetch: async (url, init) => {
      const { pathname } = new URL(url);
      requests.push(pathname);
      if (pathname === network.downFor) throw new TypeError('fetch failed');
      const response = await auth.fetch(url, init);
      if (pathname !== network.loseNext) return response;
      network.loseNext = '';
      throw new TypeError('fetch failed');
    },
  });
  let value: string | undefined;
  const store: SessionStore = {
    load: () => (value === undefined ? undefined : JSON.parse(value)),
    save: session => {
      value = session && JSON.stringify(session);
    },
  };
  const session = createUserSession(client, { store, ...(onStepUp && { onStepUp }) });
  /** Continues a session that began elsewhere. */
  const adopt = ({ token, refreshToken, user }: ReturnType<typeof auth.signIn>) => {
    const later = Date.now() + 500_000;
    return store.save({ token, refreshToken, user, renewAt: later, expiresAt: later });
  };
  const count = (path: string) => requests.filter(one => one === path).length;
  return { auth, client, session, adopt, count, network };
}

/** Adds an authenticator app to the account of a session. */
async function enrol({
  client,
  session,
  auth,
}: Pick<Awaited<ReturnType<typeof start>>, 'client' | 'session' | 'auth'>) {
  const { secret } = await session.withToken(token => client.startTotp(token));
  return session.confirmTotp({ totp: auth.totpCode(secret) });
}

const longAgo = () => Math.floor(Date.now() / 1000) - HOUR_S;

t.test('a sign-in that needs a second factor says so by its type, and is completed', async t => {
  const { auth, client, session, ...rest } = await start(t);
  await session.signUp(credentials);
  const { recoveryCodes } = await enrol({ auth, client, session });
  t.equal(claimsOf(await session.token()).acr, 'aal2', 'the next token has it');
  t.equal(rest.count('/auth/refresh'), 1);
  await session.signOut();

  const error = await session.signIn(credentials).catch(error => error);
  t.ok(isAuthClientError(error) && error instanceof SecondFactorRequiredError);
  t.match(error, {
    name: 'SecondFactorRequiredError',
    code: 'second_factor_required',
    methods: ['totp', 'recovery_code'],
    expiresIn: 300,
    problem: { status: 401, code: 'second_factor_required', challenge: error.challenge },
  });
  if (isAuthClientError(error) && error.code === 'second_factor_required') t.type(error.challenge, 'string');
  await t.rejects(session.token(), { code: 'signed_out' }, 'nothing is stored until then');
  const wrong = session.completeSignIn({ challenge: error.challenge, recoveryCode: 'wrong' });
  await t.rejects(wrong, { code: 'invalid_second_factor' });
  const user = await session.completeSignIn({ challenge: error.challenge, totp: auth.totpCode('ada') });
  t.same(await session.user(), user);
  t.match(await client.me(await session.token()), { username: 'ada' });

  const again = await session.signIn(credentials).catch(error => error);
  await session.completeSignIn({ challenge: again.challenge, recoveryCode: recoveryCodes[0] as string });
});

t.test('a problem without what its code needs is not one of the service', async t => {
  const problem = { type: 'x', title: 'x', status: 401, detail: 'x', code: 'second_factor_required', requestId: 'x' };
  const headers = { 'content-type': 'application/problem+json' };
  const client = createAuthClient({
    baseUrl: 'http://auth.test',
    fetch: async () => new Response(JSON.stringify(problem), { status: 401, headers }),
  });
  await t.rejects(client.signIn(credentials), { name: 'AuthTransportError', code: 'unexpected_answer' });
});

t.test('people sign up and in with a passkey, and step up', async t => {
  const { auth, client, session, adopt } = await start(t);
  const device = createVirtualAuthenticator({ origin: 'http://localhost:3000' });
  const created = device.create(await client.passkeySignUpOptions({ username: 'ada' }));
  const user = await session.signUpWithPasskey({ response: created });
  t.same(await session.user(), user);
  await session.signOut();
  t.same(await session.signInWithPasskey({ response: device.get(await client.passkeySignInOptions()) }), user);

  await adopt(auth.signIn('ada', { authTime: longAgo(), amr: ['pwd'] }));
  const weak = claimsOf(await session.token());
  await session.stepUp({ passkey: device.get(await client.stepUpPasskeyOptions(await session.token())) });
  const strong = claimsOf(await session.token());
  t.match([weak.acr, strong.acr], ['aal1', 'aal2']);
  t.equal(strong.sid, weak.sid);
  const response = device.create(await session.withToken(token => client.passkeyOptions(token)));
  t.equal((await session.addPasskey({ response })).recoveryCodes, undefined);
});

t.test('a first passkey brings recovery codes, also when the refresh after it fails', async t => {
  const { client, session, network } = await start(t);
  await session.signUp(credentials);
  const device = createVirtualAuthenticator({ origin: 'http://localhost:3000' });
  const response = device.create(await session.withToken(token => client.passkeyOptions(token)));
  network.downFor = '/auth/refresh';
  t.equal((await session.addPasskey({ response, name: 'Phone' })).recoveryCodes?.length, 10);
  t.equal(claimsOf(await session.token()).acr, 'aal1');
  network.downFor = '';
  await session.invalidate(await session.token());
  t.equal(claimsOf(await session.token()).acr, 'aal2', 'a later refresh does it');
});

t.test('requests that need a stronger sign-in ask once, and are repeated', async t => {
  const asked: object[] = [];
  const made = await start(t, {
    onStepUp: async needed => {
      asked.push(needed);
      await new Promise(resolve => setTimeout(resolve, 20));
      return { totp: made.auth.totpCode('ada') };
    },
  });
  const { auth, client, session, adopt, count } = made;
  await session.signUp(credentials);
  await enrol(made);
  await adopt(auth.signIn('ada', { amr: ['pwd'] }));

  const change = (email: string) => session.withToken(token => client.setEmail(token, { email }));
  await Promise.all([change('a@example.com'), change('b@example.com'), change('c@example.com')]);
  t.same(asked, [{ acr: 'aal2', maxAgeS: 600 }]);
  t.equal(count('/auth/step-up'), 1);
  t.equal(count('/auth/email'), 6);
  await change('d@example.com');
  t.equal(asked.length, 1, 'the new token is kept');

  await adopt(auth.signIn('ada', { amr: ['pwd', 'otp', 'mfa'], authTime: longAgo() }));
  await change('e@example.com');
  t.equal(asked.length, 2, 'another one asks again');
});

t.test('a request that is refused after others have stepped up is repeated without asking again', async t => {
  const asked: object[] = [];
  const made = await start(t, {
    onStepUp: needed => {
      asked.push(needed);
      return { totp: made.auth.totpCode('ada') };
    },
  });
  const { auth, client, session, adopt } = made;
  await session.signUp(credentials);
  await enrol(made);
  await adopt(auth.signIn('ada', { amr: ['pwd'] }));
  let proceed = () => {};
  const held = new Promise<void>(resolve => {
    proceed = resolve;
  });
  const slow = session.withToken(async token => {
    const refused = await client.startTotp(token).catch(error => error);
    await held;
    if (refused instanceof Error) throw refused;
    return refused;
  });
  await session.withToken(token => client.makeRecoveryCodes(token));
  proceed();
  t.match(await slow, { qrCode: /svg/ });
  t.equal(asked.length, 1);
});

t.test('each demand is asked for where one does not cover the other, one after the other', async t => {
  const asked: (string | undefined)[] = [];
  let atOnce = 0;
  const made = await start(t, {
    onStepUp: async ({ acr }) => {
      asked.push(acr);
      t.equal(++atOnce, 1);
      await new Promise(resolve => setTimeout(resolve, 20));
      atOnce--;
      return acr === 'aal2' ? { totp: made.auth.totpCode('ada') } : { password: credentials.password };
    },
  });
  const { auth, session, adopt } = made;
  await session.signUp(credentials);
  await enrol(made);
  await adopt(auth.signIn('ada', { amr: ['pwd'], authTime: longAgo() }));

  /** A service that demands something, as `fetch` shows it. */
  const demand = (acr: string) => async (token: string) => {
    const { acr: has, auth_time: authTime } = claimsOf(token);
    if (authTime > longAgo() + 60 && has >= acr) return Response.json({ ok: true });
    const challenge = `Bearer error="insufficient_user_authentication", acr_values="${acr}", max_age=60`;
    return new Response('{}', { status: 401, headers: { 'www-authenticate': challenge } });
  };
  const responses = await Promise.all(['aal1', 'aal2', 'aal1', 'aal2'].map(acr => session.withToken(demand(acr))));
  t.same(
    responses.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  t.same(asked, ['aal1', 'aal2']);
});

t.test('who does not want to step up gets the refusal, and so does who has no way to', async t => {
  let proof: StepUpProof | undefined;
  const made = await start(t, { onStepUp: () => proof });
  const { auth, client, session, adopt } = made;
  await session.signUp(credentials);
  await enrol(made);
  await adopt(auth.signIn('ada', { amr: ['pwd'] }));
  const remove = () => session.withToken(token => client.removeTotp(token));
  await t.rejects(remove(), { ...WEAK, acr: 'aal2' });
  proof = { totp: '000000' };
  await t.rejects(remove(), { code: 'invalid_second_factor' });
  proof = { password: credentials.password };
  await t.rejects(remove(), { ...WEAK, acr: 'aal2' }, 'a request is repeated once');
  proof = { totp: auth.totpCode('ada') };
  await remove();

  const without = createUserSession(client);
  await without.signIn(credentials);
  await t.rejects(
    without.withToken(() => Promise.reject(new TypeError('mine'))),
    { message: 'mine' },
  );
  const refused = new Response('{}', { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } });
  t.equal(await without.withToken(async () => refused), refused, 'other refusals are passed on');
  for (const result of [undefined, null, 'text', { status: 401 }]) {
    t.equal(await without.withToken(async () => result), result);
  }
  await t.rejects(createUserSession(client).withToken(client.me), { code: 'signed_out' });
});

t.test('a step-up whose response is lost does not sign anybody out', async t => {
  const { auth, client, session, network } = await start(t);
  await session.signUp(credentials);
  await enrol({ auth, client, session });
  network.loseNext = '/auth/step-up';
  await t.rejects(session.stepUp({ totp: auth.totpCode('ada') }), { code: 'network_error' });
  t.match(await client.me(await session.token()), { username: 'ada' });
  await session.invalidate(await session.token());
  t.match(await client.me(await session.token()), { username: 'ada' });
});

t.test('what takes effect once is not sent again, what may be is', async t => {
  const proof = { challenge: 'x', totp: '123456' };
  let sent = 0;
  const client = createAuthClient({
    baseUrl: 'http://auth.test',
    fetch: async () => {
      sent++;
      throw new TypeError('fetch failed');
    },
  });
  const response = {} as never;
  const once: Record<string, () => Promise<unknown>> = {
    completeSignIn: () => client.completeSignIn(proof),
    signInWithPasskey: () => client.signInWithPasskey({ response }),
    signUpWithPasskey: () => client.signUpWithPasskey({ response }),
    stepUp: () => client.stepUp('t', { totp: '123456' }),
    startTotp: () => client.startTotp('t'),
    confirmTotp: () => client.confirmTotp('t', { totp: '123456' }),
    removeTotp: () => client.removeTotp('t'),
    makeRecoveryCodes: () => client.makeRecoveryCodes('t'),
    addPasskey: () => client.addPasskey('t', { response }),
    removePasskey: () => client.removePasskey('t', 'x'),
  };
  const again: typeof once = {
    factors: () => client.factors('t'),
    passkeyOptions: () => client.passkeyOptions('t'),
    passkeySignInOptions: () => client.passkeySignInOptions(),
    passkeySignUpOptions: () => client.passkeySignUpOptions({ username: 'ada' }),
    stepUpPasskeyOptions: () => client.stepUpPasskeyOptions('t'),
    renamePasskey: () => client.renamePasskey('t', 'x', { name: 'x' }),
  };
  for (const [requests, times] of [[once, 1] as const, [again, 3] as const]) {
    for (const [name, request] of Object.entries(requests)) {
      sent = 0;
      await t.rejects(request(), { code: 'network_error' }, name);
      t.equal(sent, times, name);
    }
  }
});

t.test('the test issuer has codes without waiting for time', async t => {
  const { auth, client, session } = await start(t);
  await session.signUp(credentials);
  t.throws(() => auth.totpCode('ada'), TypeError);
  t.throws(() => auth.totpCode('no secret'), TypeError);
  const { secret } = await client.startTotp(await session.token());
  t.match(secret, /^[A-Z2-7]{32}$/);
  await session.confirmTotp({ totp: auth.totpCode('ada') });
  const token = await session.token();
  const codes = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const totp = auth.totpCode(i % 2 ? 'ada' : secret);
    await client.stepUp(token, { totp });
    await t.rejects(client.stepUp(token, { totp }), { code: 'invalid_second_factor' });
    codes.add(totp);
  }
  const [first = ''] = codes;
  await t.rejects(client.stepUp(token, { totp: first }), { code: 'invalid_second_factor' }, 'an old one');
});

t.test('a test chooses how a user signed in', async t => {
  const { auth } = await start(t);
  const { token } = auth.signIn('ada', { amr: ['hwk', 'user', 'mfa'] });
  t.match(claimsOf(token), { amr: ['hwk', 'user', 'mfa'], acr: 'aal2' });
  t.match(claimsOf(auth.signIn('ada').token), { amr: ['pwd'], acr: 'aal1' });
});

t.test('a virtual authenticator makes what a browser does', async t => {
  const origin = 'https://app.example.com';
  const [rp, user] = [
    { id: 'example.com', name: 'x' },
    { id: 'aGFuZGxl', name: 'ada', displayName: 'ada' },
  ];
  const device = createVirtualAuthenticator({ origin, counts: true, backedUp: false });
  const request = { challenge: 'Y2hhbGxlbmdl', timeout: 1, rpId: rp.id, userVerification: 'required' as const };
  t.throws(() => device.get(request), { message: /no passkey for example.com/ });
  const options = { rp, user, challenge: 'Y2hhbGxlbmdl' } as Parameters<typeof device.create>[0];
  const [first, second] = [device.create(options), device.create(options)];
  const parse = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString());
  t.same(parse(first.response.clientDataJSON), {
    type: 'webauthn.create',
    challenge: 'Y2hhbGxlbmdl',
    origin,
    crossOrigin: false,
  });
  t.equal(device.get(request).id, second.id, 'the newest');
  const allowCredentials = [{ id: first.id, type: 'public-key' as const }];
  const counted = [1, 2].map(count => {
    const { id, response } = device.get({ ...request, allowCredentials });
    t.equal(id, first.id);
    t.equal(response.userHandle, user.id);
    const data = Buffer.from(response.authenticatorData, 'base64url');
    t.same(data.subarray(0, 32), createHash('sha256').update(rp.id).digest());
    t.equal(data[32], 0x05, 'present and verified, and not copied');
    return [count, data.readUInt32BE(33)];
  });
  t.same(counted, [
    [1, 1],
    [2, 2],
  ]);
});
