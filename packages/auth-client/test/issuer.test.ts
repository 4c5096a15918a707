import t, { type Test } from 'tap';
import { createAuthClient, createVerifier } from '#src/index.js';
import { createTestIssuer, type TestIssuerOptions } from '#src/testing/index.js';
import {
  addressStories,
  closedSignUpStories,
  factorChangeStories,
  factorStories,
  passkeyStories,
  recoveryStories,
  requiredFactorStories,
  type Story,
  type StoryTarget,
  silentSignUpStories,
} from '#src/testing/stories/index.js';

const HOUR_S = 3600;

async function start(t: Test, options: TestIssuerOptions & { overHttp?: boolean }): Promise<StoryTarget> {
  const auth = createTestIssuer(options);
  t.teardown(() => auth.close());
  const [baseUrl, fetch] = options.overHttp ? [await auth.listen(), globalThis.fetch] : [auth.issuer, auth.fetch];
  return {
    client: createAuthClient({ baseUrl, fetch }),
    mailbox: auth.mailbox,
    signInLongAgo: async ({ username }) => auth.signIn(username, { authTime: Math.floor(Date.now() / 1000) - HOUR_S }),
    post: (path, body) => {
      const headers = { 'content-type': 'application/json' };
      return fetch(baseUrl + path, { method: 'POST', headers, body: JSON.stringify(body) });
    },
    get: (path, token) => fetch(baseUrl + path, { headers: { authorization: `Bearer ${token}` } }),
    totpCode: async secret => auth.totpCode(secret),
    origin: 'http://localhost:3000',
  };
}

for (const overHttp of [false, true]) {
  for (const [options, stories] of [
    [{}, { ...addressStories, ...recoveryStories, ...factorStories, ...factorChangeStories, ...passkeyStories }],
    [{ signUp: 'email' }, silentSignUpStories],
    [{ signUp: 'closed' }, closedSignUpStories],
    [{ secondFactor: 'required' }, requiredFactorStories],
  ] satisfies [TestIssuerOptions, Record<string, Story>][]) {
    t.test(`the test issuer ${overHttp ? 'over HTTP' : 'in process'}, with ${JSON.stringify(options)}`, async t => {
      const target = await start(t, { ...options, overHttp });
      for (const [story, tell] of Object.entries(stories)) await t.test(story, () => tell(target));
    });
  }
}

t.test('a mail is read once, by its address in any case, and is waited for', async t => {
  const { mailbox, ...auth } = createTestIssuer();
  const client = createAuthClient({ baseUrl: auth.issuer, fetch: auth.fetch });
  const waiting = mailbox.next('Ada@Example.com', { timeoutMs: 5000 });
  const { token } = auth.signIn('ada', { email: 'old@example.com' });
  await client.setEmail(token, { email: 'ada@example.com' });
  const mail = await waiting;
  const link = `${auth.issuer}/account/verify-email#token=${mail.token}`;
  t.same(mail, { template: 'verify-email', to: 'ada@example.com', token: mail.token, link });

  await t.rejects(mailbox.next('ada@example.com', { timeoutMs: 10 }), {
    message: 'Nobody mailed a link to ada@example.com within 10 ms; unread mails: none.',
  });
  await t.rejects(mailbox.next('old@example.com', { template: 'reset-password', timeoutMs: 10 }), {
    message: /reset-password to old@example.com .* unread mails: email-change-requested\./,
  });
  t.same(await mailbox.next('OLD@example.com', { template: 'email-change-requested' }), {
    template: 'email-change-requested',
    to: 'old@example.com',
  });
  await client.requestPasswordReset({ email: 'nobody@example.com' });
  await t.rejects(mailbox.next('nobody@example.com', { timeoutMs: 10 }));
  await auth.close();
});

t.test('the mailbox keeps the last thousand mails', async t => {
  const { mailbox, ...auth } = createTestIssuer();
  const client = createAuthClient({ baseUrl: auth.issuer, fetch: auth.fetch });
  const { token } = auth.signIn('ada');
  for (let i = 0; i <= 1000; i++) await client.setEmail(token, { email: `ada-${i}@example.com` });
  await t.rejects(mailbox.next('ada-0@example.com', { timeoutMs: 10 }));
  for (const i of [1, 1000]) t.match(await mailbox.next(`ada-${i}@example.com`), { to: `ada-${i}@example.com` });
  await auth.close();
});

t.test('links expire, and so do addresses that are pending', async t => {
  const auth = createTestIssuer({ linkTtlS: 0 });
  const client = createAuthClient({ baseUrl: auth.issuer, fetch: auth.fetch });
  const { token } = auth.signIn('ada', { email: 'ada@example.com' });
  await client.setEmail(token, { email: 'new@example.com' });
  t.same(await client.getEmail(token), { email: 'ada@example.com', pending: null });
  const { token: verifying } = await auth.mailbox.next('new@example.com');
  await t.rejects(client.verifyEmail({ token: verifying }), { code: 'invalid_one_time_token' });
  await client.requestPasswordReset({ email: 'ada@example.com' });
  const { token: resetting } = await auth.mailbox.next('ada@example.com');
  const reset = client.resetPassword({ token: resetting, newPassword: 'brand new 42' });
  await t.rejects(reset, { code: 'invalid_one_time_token' });
  await auth.close();
});

t.test('a test chooses the address and the age of a sign-in', async t => {
  const auth = createTestIssuer({ reauthenticateAfterS: 60 });
  const { issuer, audience, fetch } = auth;
  const client = createAuthClient({ baseUrl: issuer, fetch });
  const verifier = createVerifier({ issuer, audience, fetch });
  const now = Math.floor(Date.now() / 1000);
  const { token, user, refreshToken } = auth.signIn('ada', { email: 'ada@example.com', authTime: now - 61 });
  t.equal(user.email, 'ada@example.com');
  t.match(await verifier.verify(token), { auth_time: now - 61, amr: ['pwd'], acr: 'aal1' });
  t.throws(() => auth.signIn('bob', { email: 'ADA@example.com' }), TypeError);
  for (const authTime of [now + 0.5, Date.now(), -1, Number.NaN])
    t.throws(() => auth.signIn('ada', { authTime }), { message: /^authTime must be whole seconds/ }, `${authTime}`);
  t.equal(auth.signIn('ada', { email: 'ADA@example.com' }).user.email, 'ADA@example.com');
  t.equal(user.email, 'ada@example.com', 'what was returned before is left alone');

  const change = { email: 'new@example.com' };
  const refused = { code: 'insufficient_user_authentication', maxAgeS: 60, acr: 'aal1' };
  await t.rejects(client.setEmail(token, change), refused);
  await t.rejects(client.setEmail((await client.refresh(refreshToken)).token, change), refused);
  const { sid } = await verifier.verify(token);
  await t.rejects(client.setEmail(auth.token({ sid, auth_time: undefined }), change), refused);
  await client.setEmail(auth.token({ sid, auth_time: now - 30 }), change);

  const earlier = auth.token({ auth_time: undefined, amr: undefined, acr: undefined });
  t.notOk('auth_time' in (await verifier.verify(earlier)), 'tokens of the version before have none');
  verifier.close();
  await auth.close();
});

t.test('a changed password is told to the address', async t => {
  const auth = createTestIssuer();
  const client = createAuthClient({ baseUrl: auth.issuer, fetch: auth.fetch });
  const credentials = { username: 'ada', password: 'open sesame 42' };
  const { token } = await client.signUp({ ...credentials, email: 'ada@example.com' });
  await client.verifyEmail(await auth.mailbox.next('ada@example.com'));
  await client.changePassword(token, { currentPassword: credentials.password, newPassword: 'brand new 42' });
  t.match(await auth.mailbox.next('ada@example.com', { template: 'password-changed' }), { to: 'ada@example.com' });
  await auth.close();
});

t.test('where a mail completes sign-ups, a username may be the address, and another sign-up may be first', async t => {
  const auth = createTestIssuer({ signUp: 'email' });
  const client = createAuthClient({ baseUrl: auth.issuer, fetch: auth.fetch });
  const password = 'open sesame 42';
  t.equal(await client.requestSignUp({ username: 'ada@example.com', password }), 'pending');
  await client.verifyEmail(await auth.mailbox.next('ada@example.com'));
  t.match(await client.signIn({ username: 'ada@example.com', password }), { user: { email: 'ada@example.com' } });
  await t.rejects(client.requestSignUp({ username: 'bob', password }), {
    code: 'invalid_request',
    problem: { errors: [{ pointer: '/email' }] },
  });

  const requestLink = async (email: string) => {
    t.equal(await client.requestSignUp({ username: 'bob', password, email }), 'pending');
    return auth.mailbox.next(email);
  };
  const [first, second] = [await requestLink('bob@example.com'), await requestLink('bob@example.org')];
  await client.verifyEmail(second);
  await t.rejects(client.verifyEmail(first), { code: 'username_taken' });
  await client.requestSignUp({ username: 'bob', password, email: 'bob@example.net' });
  t.ok(await auth.mailbox.next('bob@example.net', { template: 'sign-up-repeated' }));
  await auth.close();
});

t.test('the fetch of a test issuer takes what the global one takes', async t => {
  const auth = createTestIssuer();
  const fetchIt: typeof fetch = auth.fetch;
  const jwks = `${auth.issuer}/.well-known/jwks.json`;
  for (const response of [await fetchIt(jwks), await fetchIt(new URL(jwks)), await fetchIt(new Request(jwks))])
    t.match(await response.json(), { keys: [{ kty: 'EC' }] });
  const credentials = JSON.stringify({ username: 'ada', password: 'open sesame 42' });
  const headers = { 'content-type': 'application/json' };
  const request = new Request(`${auth.issuer}/auth/sign-up`, { method: 'POST', headers, body: credentials });
  t.equal((await fetchIt(request)).status, 201);

  const authorization = `Bearer ${auth.serviceToken('revocations:read')}`;
  const feed = `${auth.issuer}/auth/revocations`;
  const { cursor } = (await (await fetchIt(feed, { headers: { authorization } })).json()) as { cursor: string };
  const wait = `${feed}?wait=30&after=${cursor}`;
  const soon = () => AbortSignal.timeout(50);
  const aborted = new Request(jwks, { signal: AbortSignal.abort() });
  await t.rejects(fetchIt(aborted), { name: 'AbortError' });
  const waiting = new Request(wait, { headers: { authorization }, signal: soon() });
  await t.rejects(fetchIt(waiting), { name: 'TimeoutError' });
  await t.rejects(fetchIt(new Request(wait), { headers: { authorization }, signal: soon() }), { name: 'TimeoutError' });
  await t.rejects(fetchIt('/auth/me'), TypeError);
});
