import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import t from 'tap';
import * as browser from '#src/browser.js';
import { authGuard } from '#src/fastify.browser.js';
import { createAuthClient, createLocalStorageStore, createUserSession, type StoredSession } from '#src/index.js';
import { SessionProvider, useSession, useUser } from '#src/react.js';
import * as testing from '#src/testing/index.browser.js';
import { createTestIssuer, type TestIssuerOptions } from '#src/testing/index.js';

const API = 'https://api.example.com';
const credentials = { username: 'ada', password: 'open sesame 42' };
const until = async (holds: () => boolean, what: string) => {
  for (let i = 0; i < 200; i++) {
    if (holds()) return;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error(`not in time: ${what}`);
};

type Received = { url: string; token: string; body: string; redirect: string };

/** A test issuer, and a service at {@link API} that responds as it is told. */
function start(respond: (request: Received, count: number) => Response, options: TestIssuerOptions = {}) {
  const auth = createTestIssuer(options);
  const client = createAuthClient({ baseUrl: auth.issuer, fetch: auth.fetch, maxRetries: 0 });
  const received: Received[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    const token = request.headers.get('authorization')?.slice('Bearer '.length) ?? '';
    const one = { url: request.url, token, body: await request.text(), redirect: request.redirect };
    received.push(one);
    return respond(one, received.length);
  };
  return { auth, client, received, fetch, session: createUserSession(client, { origins: [API], fetch }) };
}
const fine = () => new Response('fine');
const refuse = () =>
  new Response('no', { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } });

t.test('session.fetch sends the token, and the request as it is', async t => {
  const { session, received } = start(fine);
  await t.rejects(session.fetch(`${API}/mine`), { code: 'signed_out' });
  t.equal(received.length, 0);
  await session.signUp(credentials);
  const token = await session.token();
  t.equal(await (await session.fetch(`${API}/mine`)).text(), 'fine');
  const init = { method: 'POST', body: 'text', headers: { 'x-more': '1', authorization: 'another' } };
  await session.fetch(new URL(`${API}/mine`), { ...init, redirect: 'error' });
  await session.fetch(new Request(`${API}/mine`, init));
  t.match(received, [
    { url: `${API}/mine`, token, body: '' },
    { token, body: 'text', redirect: 'error' },
    { token, body: 'text' },
  ]);
});

t.test('session.fetch sends the token to nobody who was not named', async t => {
  const { session, received, auth } = start(fine);
  await session.signUp(credentials);
  for (const url of [
    ...['https://api.example.com.evil.example/', 'http://api.example.com/', 'https://api.example.com:444/'],
    ...['https://user@evil.example/?https://api.example.com', 'data:text/plain,x'],
  ])
    await t.rejects(session.fetch(url), { name: 'TypeError', message: /does not send the token to .*`origins`/ });
  await t.rejects(session.fetch('/mine'), TypeError, 'outside of a page there is no origin of its own');
  const changing = Object.assign(new URL(`${API}/mine`), {
    toString: () => (received.length === 0 ? 'https://evil.example/' : API),
  });
  await t.rejects(session.fetch(changing), { message: /to https:\/\/evil.example:/ });
  const disguised = {
    clone: () => new Request('https://evil.example/'),
    url: API,
    toString: () => 'https://evil.example/',
  };
  await t.rejects(session.fetch(disguised as unknown as Request), { message: /to https:\/\/evil.example:/ });
  const said = await session.fetch('https://ada:secret@evil.example/?token=1').catch(error => error.message);
  t.match(said, /to https:\/\/evil.example:/, 'neither its password nor its query');
  t.equal(received.length, 0);
  const moving = new URL(`${API}/mine`);
  const sending = session.fetch(moving);
  moving.host = 'evil.example';
  await sending;
  t.equal(received.pop()?.url, `${API}/mine`, 'what was checked is what is sent');
  t.equal((await session.fetch(`${auth.issuer}/auth/me`)).status, 200, 'the auth-service may have it');
});

t.test('a refused token is refreshed once, and the request sent once more', async t => {
  const { session, received } = start((_, count) => (count === 1 ? refuse() : fine()));
  await session.signUp(credentials);
  const old = await session.token();
  const response = await session.fetch(`${API}/mine`, { method: 'POST', body: 'again' });
  t.equal(response.status, 200);
  const [first, second] = received as [Received, Received];
  t.match(first, { token: old, body: 'again' });
  t.match(second, { body: 'again' });
  t.not(second.token, old);
  await session.fetch(new Request(`${API}/mine`, { method: 'POST', body: 'a request' }));
  t.match(received[2], { body: 'a request', token: second.token });
});

t.test('a service that refuses every token costs one refresh', async t => {
  const { session, received, auth, client } = start(refuse);
  await session.signUp(credentials);
  for (let i = 0; i < 3; i++) t.equal((await session.fetch(`${API}/mine`)).status, 401);
  t.equal(received.length, 4, 'the second request had two tokens');
  t.equal(new Set(received.map(({ token }) => token)).size, 2);

  const { sid } = JSON.parse(Buffer.from((await session.token()).split('.')[1] as string, 'base64url').toString());
  auth.endSession(sid);
  const other = createUserSession(client, {
    origins: [API],
    fetch: async () => refuse(),
  });
  await other.signIn(credentials);
  const { sid: last } = JSON.parse(Buffer.from((await other.token()).split('.')[1] as string, 'base64url').toString());
  auth.endSession(last);
  await t.rejects(other.fetch(`${API}/mine`), { code: 'signed_out' }, 'a session that has ended');
});

t.test('a stream is sent once', async t => {
  const { session, received } = start(refuse);
  await session.signUp(credentials);
  const body = new Blob(['piece by piece']).stream();
  const response = await session.fetch(`${API}/mine`, { method: 'POST', body, duplex: 'half' } as RequestInit);
  t.equal(response.status, 401);
  t.match(received, [{ body: 'piece by piece' }]);
  t.equal(received.length, 1);
  async function* pieces() {
    yield new TextEncoder().encode('generated');
  }
  const generated = { method: 'POST', body: pieces(), duplex: 'half' } as unknown as RequestInit;
  t.equal((await session.fetch(`${API}/mine`, generated)).status, 401);
  t.match(received.slice(1), [{ body: 'generated' }]);
  t.equal(received.length, 2);
});

t.test('session.fetch takes what fetch takes, and leaves a refused request as it was', async t => {
  const { session, received } = start((_, count) => (count === 1 ? refuse() : fine()));
  await session.signUp(credentials);
  const init = new Request(`${API}/other`, { method: 'POST', body: 'of another', redirect: 'error' });
  t.equal((await session.fetch(`${API}/mine`, init)).status, 200);
  t.match(
    received,
    [1, 2].map(() => ({ url: `${API}/mine`, body: 'of another', redirect: 'error' })),
  );
  const elsewhere = new Request('https://evil.example/', { method: 'POST', body: 'kept' });
  await t.rejects(session.fetch(elsewhere), TypeError);
  t.equal(await elsewhere.text(), 'kept');
});

t.test('session.fetch steps up where a service demands it', async t => {
  const demand = () =>
    new Response(null, {
      status: 401,
      headers: { 'www-authenticate': 'Bearer error="insufficient_user_authentication", max_age=600' },
    });
  const { client, fetch, received, auth } = start((_, count) => (count === 1 ? demand() : fine()));
  let asked = 0;
  const session = createUserSession(client, {
    ...{ origins: [API], fetch },
    onStepUp: () => {
      asked++;
      return { password: credentials.password };
    },
  });
  await session.signUp(credentials);
  t.equal((await session.fetch(`${API}/mine`, { method: 'DELETE' })).status, 200);
  t.equal(asked, 1);
  t.equal(received.length, 2);
  t.ok(auth.issuer);
});

t.test('listeners are told of the user who is signed in, in this tab and in others', async t => {
  const { client } = start(fine);
  const shared: { value: StoredSession | undefined } = { value: undefined };
  const tab = () => ({
    name: `test-${t.name}`,
    load: () => shared.value,
    save: (session?: StoredSession) => {
      shared.value = session;
    },
  });
  const [here, there] = [createUserSession(client, { store: tab() }), createUserSession(client, { store: tab() })];
  const seen: Record<string, (string | undefined)[]> = { here: [], there: [], gone: [] };
  here.onChange(({ user }) => seen['here']?.push(user?.username));
  there.onChange(({ user }) => seen['there']?.push(user?.username));
  const end = there.onChange(({ user }) => seen['gone']?.push(user?.username));
  end();
  await here.user();
  await here.signUp(credentials);
  await until(() => seen['there']?.length === 1, 'the other tab');
  await here.invalidate(await here.token());
  await here.token();
  await there.signOut();
  await until(() => seen['here']?.length === 2, 'this tab');
  t.same(seen, { here: ['ada', undefined], there: ['ada', undefined], gone: [] }, 'a refresh is no change');

  const alone = createUserSession(client);
  const told: unknown[] = [];
  alone.onChange(change => told.push(change.user?.username));
  await alone.user();
  await alone.signIn(credentials);
  await until(() => told.length === 1, 'a session in memory');
});

t.test('a listener in another tab is told when its store has the session, however late', async t => {
  const { client } = start(fine);
  let [written, seen]: (StoredSession | undefined)[] = [];
  const save = (session?: StoredSession) => {
    written = session;
  };
  const here = createUserSession(client, { store: { name: 'late', load: () => written, save } });
  // As another process sees what this one has written.
  const there = createUserSession(client, { store: { name: 'late', load: () => seen, save } });
  const told: unknown[] = [];
  there.onChange(async ({ user }) => {
    const token = await there.token().catch(error => error.code);
    told.push([user?.username, token === written?.token]);
  });
  await there.user();
  for (const username of ['ada', 'bea']) {
    await here.signUp({ ...credentials, username: `${username}-2` });
    await new Promise(resolve => setTimeout(resolve, 50));
    t.equal(told.length, username === 'ada' ? 0 : 1, 'not before');
    seen = written;
    await until(() => told.length === (username === 'ada' ? 1 : 2), username);
  }
  t.same(told, [
    ['ada-2', true],
    ['bea-2', true],
  ]);
});

t.test('a listener is told of a sign-in that overtakes the first look into the store', async t => {
  const { client } = start(fine);
  let kept: StoredSession | undefined;
  const session = createUserSession(client, {
    store: {
      async load() {
        const found = kept;
        await new Promise(resolve => setTimeout(resolve, 50));
        return found;
      },
      save: session => {
        kept = session;
      },
    },
  });
  const told: (string | undefined)[] = [];
  session.onChange(({ user }) => told.push(user?.username));
  await session.signUp(credentials);
  await session.user();
  await session.invalidate(await session.token());
  await session.token();
  await session.signOut();
  t.same(told, ['ada', undefined]);
});

t.test('localStorage keeps a session, where there is one', async t => {
  const { client, auth } = start(fine);
  const warnings: unknown[] = [];
  const entries = new Map<string, string>();
  const storage = {
    getItem: (key: string) => entries.get(key) ?? null,
    setItem: (key: string, value: string) => {
      if (entries.has('full')) throw new Error('QuotaExceededError');
      entries.set(key, value);
    },
    removeItem: (key: string) => void entries.delete(key),
  };
  const open = (options?: { key?: string }) =>
    createUserSession(client, { store: createLocalStorageStore(options), onWarning: error => warnings.push(error) });

  const session = open();
  await session.signUp(credentials);
  await until(() => warnings.length === 1, 'there is none');
  t.equal((await session.user())?.username, 'ada', 'it is kept in memory');

  Object.assign(globalThis, { localStorage: storage });
  t.teardown(() => Reflect.deleteProperty(globalThis, 'localStorage'));
  await open().signIn(credentials);
  t.equal((await open().user())?.username, 'ada', 'a reload finds it');
  t.equal(await open({ key: 'other' }).user(), undefined);
  t.same([...entries.keys()], ['latchkey-session']);
  await open().signOut();
  t.same([...entries.keys()], []);
  for (const odd of ['not JSON', '7', '{}']) {
    entries.set('latchkey-session', odd);
    t.equal(await open().user(), undefined, odd);
  }
  entries.set('full', '');
  const full = open();
  await full.signIn(credentials);
  t.equal((await full.user())?.username, 'ada', 'a full store signs nobody out');
  t.ok(auth.issuer);
});

t.test('React renders on a server without a session, and says what is missing', async t => {
  const { session } = start(fine);
  await session.signUp(credentials);
  const Name = () => createElement('p', null, useUser().status);
  t.equal(renderToString(createElement(SessionProvider, { session }, createElement(Name))), '<p>unknown</p>');
  const Bare = () => createElement('p', null, String(useSession()));
  t.throws(() => renderToString(createElement(Bare)), /need a <SessionProvider> above/);
});

t.test('what is for services says so in a browser', async t => {
  const { createServiceTokens, createVerifier } = browser;
  for (const [name, fail] of Object.entries({ createServiceTokens, createVerifier, authGuard, ...testing }))
    t.throws(fail as () => unknown, {
      name: 'TypeError',
      message: new RegExp(`^${name} of @latchkey/auth-client is for services, and this is a browser\\. [A-Z]`),
    });
});
