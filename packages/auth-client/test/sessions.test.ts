import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import {
  createAuthClient,
  createServiceTokens,
  createUserSession,
  type SessionLock,
  type SessionStore,
  type StoredSession,
} from '#src/index.js';
import { createTestIssuer, type TestIssuerOptions } from '#src/testing/index.js';

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));
const credentials = { username: 'ada', password: 'open sesame 42' };

/** A test issuer behind a network that can be made to fail, and a client of it. */
function start(options: TestIssuerOptions = {}) {
  const auth = createTestIssuer(options);
  const asked: string[] = [];
  const network = { down: false, loseResponses: false, delayMs: 0 };
  const client = createAuthClient({
    baseUrl: auth.issuer,
    timeoutMs: 2000,
    maxRetries: 0,
    fetch: async (url, init) => {
      if (network.down) throw new TypeError('fetch failed');
      asked.push(new URL(url).pathname);
      await sleep(network.delayMs);
      const response = await auth.fetch(url, init);
      if (network.loseResponses) throw new TypeError('fetch failed');
      return response;
    },
  });
  const count = (path: string) => asked.filter(one => one === path).length;
  return { auth, client, network, refreshes: () => count('/auth/refresh'), count };
}

/** A store that two tabs share: each has an object of its own, on one value. */
function sharedStore() {
  const shared: { value: string | undefined; broken: boolean } = { value: undefined, broken: false };
  const tab = (): SessionStore => ({
    load: async () => (shared.value === undefined ? undefined : JSON.parse(shared.value)),
    save: async session => {
      if (shared.broken) throw new Error('the quota is exceeded');
      shared.value = session && JSON.stringify(session);
    },
  });
  const edit = (change: Partial<StoredSession>) => {
    shared.value = JSON.stringify({ ...JSON.parse(shared.value as string), ...change });
  };
  return { shared, tab, edit };
}

/** A lock such as Web Locks give to tabs. */
function createLock(): SessionLock {
  let last: Promise<unknown> = Promise.resolve();
  return work => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

t.test('a signed-in user has a token, refreshed when it is time', async t => {
  const { auth, client, refreshes } = start({ accessTokenTtlS: 40 });
  const session = createUserSession(client);
  await t.rejects(session.token(), { name: 'SignedOutError', code: 'signed_out' });
  t.equal(await session.user(), undefined);
  const user = await session.signUp(credentials);
  t.same(await session.user(), user);
  const first = await session.token();
  t.equal(await session.token(), first);
  t.equal(refreshes(), 0);

  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  Date.now = () => real() + 21_000;
  const tokens = await Promise.all(Array.from({ length: 10 }, () => session.token()));
  t.equal(new Set(tokens).size, 1);
  t.not(tokens[0], first);
  t.equal(refreshes(), 1, 'ten ask, one refreshes');
  Date.now = real;

  await session.signOut();
  await t.rejects(session.token(), { code: 'signed_out' });
  await session.signOut();
  t.same(await session.signIn(credentials), user);
  await auth.close();
});

t.test('a token that lives shorter than it should is given for half of its life', async t => {
  const { client, refreshes } = start({ accessTokenTtlS: 2 });
  const session = createUserSession(client);
  await session.signUp(credentials);
  for (let i = 0; i < 10; i++) await session.token();
  t.equal(refreshes(), 0);
  await sleep(1100);
  await session.token();
  t.equal(refreshes(), 1);
});

t.test('two tabs refresh once', async t => {
  const { client, network, refreshes } = start();
  const { tab, edit } = sharedStore();
  const lock = createLock();
  const [one, two] = [tab(), tab()].map(store => createUserSession(client, { store, lock })) as [never, never];
  const sessions: ReturnType<typeof createUserSession>[] = [one, two];
  await sessions[0]?.signUp(credentials);
  network.delayMs = 50;
  for (let round = 1; round <= 5; round++) {
    edit({ renewAt: 0 });
    const asking = sessions.flatMap(session => [session.token(), session.token(), session.token()]);
    t.equal(new Set(await Promise.all(asking)).size, 1);
    t.equal(refreshes(), round);
  }
  await sessions[1]?.signOut();
  await t.rejects(sessions[0]?.token() as Promise<string>, { code: 'signed_out' }, 'a sign-out holds for both');
});

t.test('sessions on the same store share a lock by default', async t => {
  const { client, refreshes } = start();
  const { tab, edit } = sharedStore();
  const store = tab();
  const sessions = [store, store].map(store => createUserSession(client, { store }));
  await sessions[0]?.signUp(credentials);
  edit({ renewAt: 0 });
  await Promise.all(sessions.map(session => session.token()));
  t.equal(refreshes(), 1);
});

t.test('Web Locks are used where the runtime has them', async t => {
  const names: string[] = [];
  const lock = createLock();
  const locks = {
    request: (name: string, work: () => Promise<unknown>) => {
      names.push(name);
      return lock(work);
    },
  };
  t.intercept(globalThis as any, 'navigator', { value: { locks }, writable: true });
  const { client, refreshes } = start();
  const { tab, edit } = sharedStore();
  const sessions = [tab(), tab()].map(store => createUserSession(client, { store }));
  await sessions[0]?.signUp(credentials);
  edit({ renewAt: 0 });
  await Promise.all(sessions.map(session => session.token()));
  t.equal(refreshes(), 1);
  t.same(new Set(names), new Set(['latchkey-session']));
  const before = names.length;
  await createUserSession(client).signIn(credentials);
  t.equal(names.length, before, 'but not for a store of one session');
  await createUserSession(client, { store: { ...tab(), name: 'ada' } }).signIn(credentials);
  t.equal(names.at(-1), 'latchkey-session:ada');
});

t.test('a lock that fails or is never released does not block a session', async t => {
  const { client } = start();
  const failing: SessionLock[] = [
    () => Promise.reject(new Error('no locks here')),
    () => {
      throw new Error('no locks here');
    },
  ];
  for (const lock of failing) {
    const session = createUserSession(client, { store: sharedStore().tab(), lock });
    await t.rejects(session.signIn({ ...credentials, password: 'wrong' }), { code: 'invalid_credentials' });
  }
  const session = createUserSession(client, { store: sharedStore().tab(), lock: () => new Promise(() => undefined) });
  const at = performance.now();
  t.match(await session.signUp(credentials), { username: 'ada' });
  t.ok(performance.now() - at > 5000);
});

t.test('an outage signs nobody out', async t => {
  const { client, network, refreshes } = start({ accessTokenTtlS: 4 });
  const signedOut: unknown[] = [];
  const session = createUserSession(client, { onSignedOut: () => signedOut.push(1) });
  await session.signUp(credentials);
  const token = await session.token();
  network.down = true;
  await sleep(2100);
  t.equal(await session.token(), token, 'what lives is given');
  await sleep(2100);
  await t.rejects(session.token(), { code: 'network_error' }, 'what does not is not');
  await t.rejects(session.signOut(), { code: 'network_error' });
  t.match(await session.user(), { username: 'ada' }, 'and the sign-out can be tried again');
  network.down = false;
  t.not(await session.token(), token);
  t.equal(refreshes(), 1);
  t.same(signedOut, []);
});

t.test('onSignedOut is called when the session has ended', async t => {
  const { auth, client } = start();
  const { tab, edit, shared } = sharedStore();
  let ended = 0;
  const session = createUserSession(client, { store: tab(), onSignedOut: () => ended++ });
  const user = await session.signUp(credentials);
  const other = await client.signIn(credentials);
  await client.signOut(other.token, 'all');
  edit({ renewAt: 0 });
  const tokens = await Promise.allSettled([session.token(), session.token(), session.token()]);
  for (const { status, ...outcome } of tokens) {
    t.equal(status, 'rejected');
    t.match(outcome, { reason: { code: 'signed_out', cause: { code: 'invalid_refresh_token' } } });
  }
  t.equal(ended, 1);
  t.equal(shared.value, undefined);
  t.equal(await session.user(), undefined);
  t.ok(user);
  await auth.close();
});

t.test('a refusal does not sign out who has signed in meanwhile', async t => {
  const { client, network } = start();
  const { tab, edit } = sharedStore();
  // Without a lock between them.
  const [one, two] = [tab(), tab()].map(store => createUserSession(client, { store, lock: work => work() }));
  await one?.signUp(credentials);
  await client.signOut((await client.signIn(credentials)).token, 'all');
  edit({ renewAt: 0 });
  network.delayMs = 1000;
  const asking = one?.token();
  await sleep(20);
  network.delayMs = 0;
  await two?.signIn(credentials);
  t.equal(await asking, await two?.token());
});

t.test('a store that fails signs nobody out', async t => {
  const { client } = start();
  const { tab, edit, shared } = sharedStore();
  const warnings: unknown[] = [];
  const session = createUserSession(client, { store: tab(), onWarning: error => warnings.push(error) });
  await session.signUp(credentials);
  edit({ renewAt: 0 });
  shared.broken = true;
  const token = await session.token();
  t.match(warnings, [{ message: 'the quota is exceeded' }]);
  t.equal(await session.token(), token, 'what could not be saved is kept');
  await session.changePassword({ currentPassword: credentials.password, newPassword: 'brand new 42' });
  t.match(await client.me(await session.token()), { username: 'ada' });
  shared.broken = false;
  await session.invalidate(await session.token());
  t.match(await client.me(await session.token()), { username: 'ada' });
  t.match(JSON.parse(shared.value as string), { token: await session.token() }, 'and saved when that works again');

  shared.broken = true;
  await session.signOut();
  t.equal(await session.user(), undefined, 'a sign-out holds too');
  shared.broken = false;
  await session.signIn({ ...credentials, password: 'brand new 42' });
  const elsewhere = createUserSession(client, { store: tab() });
  t.equal(await elsewhere.token(), await session.token());

  for (const garbage of ['{}', '5', '"text"', JSON.stringify({ token: 'a.b.c' })]) {
    shared.value = garbage;
    await t.rejects(session.token(), { code: 'signed_out' }, garbage);
  }
  const unreadable: SessionStore = {
    load: () => {
      throw new Error('denied');
    },
    save: () => undefined,
  };
  await t.rejects(createUserSession(client, { store: unreadable }).token(), { message: 'denied' });
});

t.test('a store that always fails still allows a session', async t => {
  const { client } = start();
  const denied = () => {
    throw new Error('denied');
  };
  const session = createUserSession(client, { store: { load: denied, save: denied } });
  await session.signUp(credentials);
  t.match(await client.me(await session.token()), { username: 'ada' });
});

t.test('a password is changed through the session, also when the response is lost', async t => {
  const { client, network } = start();
  const session = createUserSession(client);
  await session.signUp(credentials);
  const other = createUserSession(client);
  await other.signIn(credentials);
  const wrong = { currentPassword: 'wrong', newPassword: 'brand new 42' };
  await t.rejects(session.changePassword(wrong), { code: 'invalid_credentials' });
  t.match(await session.changePassword({ ...wrong, currentPassword: credentials.password }), { username: 'ada' });
  t.match(await client.me(await session.token()), { username: 'ada' });
  await other.invalidate(await other.token());
  await t.rejects(other.token(), { code: 'signed_out' });

  network.loseResponses = true;
  setTimeout(() => {
    network.loseResponses = false;
  }, 100);
  network.delayMs = 60;
  const lost = session.changePassword({ currentPassword: 'brand new 42', newPassword: 'newer still 42' });
  await t.rejects(lost, { code: 'network_error' });
  await session.invalidate(await session.token());
  t.match(await client.me(await session.token()), { username: 'ada' });
});

t.test('the sign-out of the others keeps this one', async t => {
  const { client } = start();
  const session = createUserSession(client);
  await session.signUp(credentials);
  const { refreshToken } = await client.signIn(credentials);
  await session.signOut('others');
  await t.rejects(client.refresh(refreshToken), { code: 'invalid_refresh_token' });
  t.match(await client.me(await session.token()), { username: 'ada' });
  await client.signOut(await session.token(), 'all');
  await session.signOut();
  await t.rejects(session.token(), { code: 'signed_out' }, 'a session that was over is signed out of too');
});

t.test('a service’s token is fetched once, kept, renewed in time, and forgotten when refused', async t => {
  const { auth, client, count, network } = start({ accessTokenTtlS: 4 });
  const credentials = auth.addClient('billing', ['a', 'b']);
  const tokens = createServiceTokens(client, { ...credentials, scope: 'a' });
  const given = await Promise.all(Array.from({ length: 10 }, () => tokens.token()));
  t.equal(new Set(given).size, 1);
  const [first] = given as [string];
  t.equal(count('/oauth/token'), 1);

  tokens.invalidate('another');
  t.equal(await tokens.token(), first);
  tokens.invalidate(first);
  tokens.invalidate(first);
  const second = await tokens.token();
  t.not(second, first);
  t.equal(count('/oauth/token'), 2);
  tokens.invalidate();
  const third = await tokens.token();

  network.down = true;
  await sleep(2200);
  t.equal(await tokens.token(), third, 'it still lives');
  await sleep(2000);
  await t.rejects(tokens.token(), { code: 'network_error' });
  network.down = false;
  t.not(await tokens.token(), third);

  const renewed = auth.addClient('billing', ['a']);
  tokens.invalidate();
  await t.rejects(tokens.token(), { code: 'invalid_client' });
  t.ok(await createServiceTokens(client, renewed).token());
  await t.rejects(createServiceTokens(client, { ...renewed, scope: 'a b' }).token(), { code: 'invalid_scope' });
});

t.test('the browsers’ entry point imports nothing of Node', async t => {
  const seen = new Set<string>();
  const outside = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(file, 'utf8').replaceAll(/^(import|export) type [^;]*;/gms, '');
    for (const [, specifier = ''] of text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
      if (!specifier.startsWith('.')) outside.add(specifier);
      else visit(fileURLToPath(new URL(specifier.replace(/\.js$/, '.ts'), `file://${file}`)));
    }
  };
  visit(fileURLToPath(new URL('../src/browser.ts', import.meta.url)));
  t.ok(seen.size > 8);
  t.same([...outside].sort(), ['@latchkey/user-schema', '@sinclair/typebox', '@sinclair/typebox/value']);
});

t.test('all sessions are listed, page by page, up to a thousand', async t => {
  const { auth, client } = start();
  const first = await client.signUp(credentials);
  for (let i = 0; i < 149; i++) await client.signIn(credentials);
  const sessions = await client.sessions(first.token);
  t.equal(sessions.length, 150);
  t.equal(new Set(sessions.map(({ id }) => id)).size, 150);
  t.match(sessions.at(-1), { current: true });
  for (let i = 0; i < 900; i++) await client.signIn(credentials);
  t.equal((await client.sessions(first.token)).length, 1000);
  await auth.close();
});

t.test('a form that is sent again signs up once', async t => {
  const { auth, client, network } = start();
  const session = createUserSession(client);
  network.loseResponses = true;
  await t.rejects(session.signUp(credentials, { idempotencyKey: 'form-1' }), { code: 'network_error' });
  network.loseResponses = false;
  const user = await session.signUp(credentials, { idempotencyKey: 'form-1' });
  t.same(await session.user(), user);
  t.equal((await client.sessions(await session.token())).length, 1);
  await t.rejects(session.signUp(credentials), { code: 'username_taken' });
  await auth.close();
});

t.test('a sign-up that a mail completes leaves the session as it is', async t => {
  const { auth, client } = start({ signUp: 'email' });
  const session = createUserSession(client);
  const account = { ...credentials, email: 'ada@example.com' };
  t.equal(await session.requestSignUp(account), 'pending');
  t.equal(await session.user(), undefined);
  await client.verifyEmail(await auth.mailbox.next('ada@example.com'));
  await t.rejects(session.signUp({ ...account, username: 'bob' }), { code: 'sign_up_pending' });
  const user = await session.signIn(credentials);
  t.equal(user.email, 'ada@example.com');
  t.equal(await session.requestSignUp({ ...account, username: 'carol' }), 'pending');
  t.same(await session.user(), user);
  await auth.close();

  const open = createUserSession(start().client);
  const signedUp = await open.requestSignUp(account);
  t.match(signedUp, { username: 'ada', email: null });
  t.same(await open.user(), signedUp);
  await t.rejects(open.requestSignUp(account), { code: 'username_taken' });
});

t.test('a session that was stored before users had addresses goes on', async t => {
  const { client } = start();
  const { tab, shared } = sharedStore();
  const user = await createUserSession(client, { store: tab() }).signUp(credentials);
  const { email: _, ...earlier } = user;
  shared.value = JSON.stringify({ ...JSON.parse(shared.value as string), user: earlier });
  const session = createUserSession(client, { store: tab() });
  t.same(await session.user(), { ...user, email: null });
  t.match(await client.me(await session.token()), { username: 'ada' });
});

t.test('a sign-up whose response is lost once succeeds', async t => {
  const auth = createTestIssuer();
  let lost = 0;
  const client = createAuthClient({
    baseUrl: auth.issuer,
    fetch: async (url, init) => {
      const response = await auth.fetch(url, init);
      if (lost++ === 0) throw new TypeError('fetch failed');
      return response;
    },
  });
  t.match(await createUserSession(client).signUp(credentials), { username: credentials.username });
  t.equal(lost, 2);
});
