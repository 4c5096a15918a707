import { randomBytes, randomUUID } from 'node:crypto';
import {
  type AuthClient,
  createAuthClient,
  createServiceTokens,
  createUserSession,
  createVerifier,
  type ServiceCredentials,
  type Verifier,
  type VerifierOptions,
} from '@latchkey/auth-client';
import { createTestIssuer } from '@latchkey/auth-client/testing';
import { readMailbox } from '@latchkey/auth-client/testing/service';
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
} from '@latchkey/auth-client/testing/stories';
import type { Session } from '@latchkey/user-schema';
import { HOTP, Secret } from 'otpauth';
import t, { type Test } from 'tap';
import { hashClientSecret } from '#src/clients/secret.js';
import { insertClient } from '#src/clients/stored-clients.js';
import type { Config } from '#src/config/settings.js';
import { newCredentials, segment, startService } from './helper.js';

/** Something that answers the contract. */
type Target = {
  client: AuthClient;
  /** What a verifier needs to know of it. */
  options: Pick<VerifierOptions, 'issuer' | 'audience' | 'baseUrl' | 'fetch'>;
  /** Calls that the client does not have. */
  get(path: string, token?: string): Promise<Response>;
  signUp(body: object, headers: Record<string, string>): Promise<Response>;
  /** Makes a client of a service. */
  serviceClient(scopes: string[]): Promise<ServiceCredentials>;
};

async function testIssuer(t: Test): Promise<Target> {
  const auth = createTestIssuer();
  t.teardown(() => auth.close());
  const { issuer, audience, fetch } = auth;
  return {
    client: createAuthClient({ baseUrl: issuer, fetch }),
    options: { issuer, audience, fetch },
    get: (path, token) => fetch(issuer + path, { headers: bearer(token) }),
    signUp: (body, headers) => fetch(`${issuer}/auth/sign-up`, posting(body, headers)),
    serviceClient: async scopes => auth.addClient(randomUUID(), scopes),
  };
}

async function testIssuerOverHttp(t: Test): Promise<Target> {
  const auth = createTestIssuer({ issuer: 'https://auth.example.com' });
  t.teardown(() => auth.close());
  const { issuer, audience } = auth;
  const baseUrl = await auth.listen();
  return {
    client: createAuthClient({ baseUrl }),
    options: { issuer, audience, baseUrl },
    get: (path, token) => fetch(baseUrl + path, { headers: bearer(token) }),
    signUp: (body, headers) => fetch(`${baseUrl}/auth/sign-up`, posting(body, headers)),
    serviceClient: async scopes => auth.addClient(randomUUID(), scopes),
  };
}

async function realService(t: Test): Promise<Target> {
  const { base: baseUrl, config, app } = await startService(t);
  return {
    client: createAuthClient({ baseUrl }),
    options: { issuer: config.publicUrl, audience: config.tokenAudience, baseUrl },
    get: (path, token) => fetch(baseUrl + path, { headers: bearer(token) }),
    signUp: (body, headers) => fetch(`${baseUrl}/auth/sign-up`, posting(body, headers)),
    async serviceClient(scopes) {
      const [id, secret] = [randomUUID(), randomBytes(32).toString('base64url')];
      const origin = { requestId: null, address: null, userAgent: 'test', actor: null };
      await insertClient(app.pg, { id, secretHash: hashClientSecret(secret), scopes }, origin);
      return { id, secret };
    },
  };
}

const bearer = (token?: string): Record<string, string> => (token ? { authorization: `Bearer ${token}` } : {});
const posting = (body: object, headers: Record<string, string>): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});
const sidOf = (token: string): string => segment(token, 1).sid;

async function isAccepted(verifier: Verifier, token: string): Promise<boolean> {
  return verifier.verify(token).then(
    () => true,
    () => false,
  );
}

/** How long it takes until a verifier refuses a token, in milliseconds. */
async function refusedAfter(verifier: Verifier, token: string): Promise<number> {
  const since = performance.now();
  while (performance.now() - since < 20_000 && (await isAccepted(verifier, token))) {
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  return performance.now() - since;
}

const stories: Record<string, (t: Test, target: Target) => Promise<void>> = {
  'people sign up and in': async (t, { client }) => {
    const credentials = newCredentials();
    const signedUp = await client.signUp(credentials);
    t.match(signedUp, { tokenType: 'Bearer', expiresIn: 600, user: { username: credentials.username } });
    const username = credentials.username.toUpperCase();
    await t.rejects(client.signUp({ ...credentials, username }), { code: 'username_taken', problem: { status: 409 } });
    const signedIn = await client.signIn({ ...credentials, username });
    t.same(signedIn.user, signedUp.user);
    t.same(await client.me(signedIn.token), signedUp.user);
    await t.rejects(client.signIn({ ...credentials, password: 'wrong' }), { code: 'invalid_credentials' });
    await t.rejects(client.signIn(newCredentials()), { code: 'invalid_credentials' });
    await t.rejects(client.signUp({ ...newCredentials(), password: 'short' }), {
      code: 'password_rejected',
      problem: { errors: [{ pointer: '/password', reason: 'too_short' }] },
    });
    const sentence = '3 to 64 characters: letters, digits and . _ @ + -';
    const refused = (reason: string, pointer = '/username', detail = sentence) => ({
      code: 'invalid_request',
      message: `body${pointer.replaceAll('/', '.')}: ${detail}`,
      problem: { errors: [{ pointer, reason, detail }] },
    });
    await t.rejects(client.signUp({ ...credentials, username: 'x' }), refused('too_short'));
    await t.rejects(client.signUp({ ...credentials, username: 'a b c' }), refused('pattern'));
    await t.rejects(
      client.signUp({ username: 'nobody' } as never),
      refused('required', '/password', 'This is required.'),
    );
    const email = refused('pattern', '/email', 'An e-mail address, such as ada@example.com.');
    await t.rejects(client.signUp({ ...newCredentials(), email: 'ada@-' }), email);
    await t.rejects(client.signUp({ ...newCredentials(), password: `\ud800${'x'.repeat(9)}` }), {
      code: 'invalid_request',
    });
    const unknown = refused('unknown_member', '/more', 'This is not a known member.');
    await t.rejects(client.signUp({ ...newCredentials(), more: 1 } as never), unknown);
    await t.rejects(client.me('a.b.c'), { code: 'invalid_token', problem: { status: 401 } });
  },

  'a sign-up whose answer was lost is made again': async (t, { client, signUp }) => {
    const credentials = newCredentials();
    const idempotencyKey = randomUUID();
    const first = await client.signUp(credentials, { idempotencyKey });
    const username = credentials.username.toUpperCase();
    const again = await client.signUp({ ...credentials, username }, { idempotencyKey });
    t.same(again.user, first.user);
    t.equal(again.refreshToken, first.refreshToken);
    t.equal(sidOf(again.token), sidOf(first.token));
    const bare = await signUp(credentials, { 'idempotency-key': idempotencyKey });
    t.match([bare.status, await bare.json()], [201, { refreshToken: first.refreshToken }], 'quoted or not');

    const wrong = client.signUp({ ...credentials, password: 'another password' }, { idempotencyKey });
    await t.rejects(wrong, { code: 'idempotency_key_reused', problem: { status: 422 } });
    await t.rejects(client.signUp(credentials), { code: 'username_taken' }, 'a call has a key of its own');
    const neighbour = await client.signUp(newCredentials(), { idempotencyKey });
    t.not(neighbour.user.id, first.user.id, 'a key belongs to a username');

    const next = await client.refresh(first.refreshToken);
    const other = await client.signUp(credentials, { idempotencyKey });
    t.not(sidOf(other.token), sidOf(first.token), 'a session that has gone on is left alone');
    await client.refresh(next.refreshToken);
    await client.signOut(other.token, 'all');
    t.same(await client.me((await client.signUp(credentials, { idempotencyKey })).token), first.user);

    const tricky = { idempotencyKey: '"\\"' };
    const tricked = await client.signUp({ ...credentials, username: `${username}-2` }, tricky);
    t.same((await client.signUp({ ...credentials, username: `${username}-2` }, tricky)).user, tricked.user);
    for (const key of ['', 'a b', '"', 'a, b', '"a"b', 'x'.repeat(256)]) {
      const refused = await signUp(newCredentials(), { 'idempotency-key': key });
      const problem = { code: 'invalid_request', errors: [{ pointer: '/idempotency-key' }] };
      t.match([refused.status, await refused.json()], [400, problem], key);
    }
  },

  'a session is refreshed, and ends when an old token is used': async (t, { client }) => {
    const first = await client.signUp(newCredentials());
    const second = await client.refresh(first.refreshToken);
    t.equal(sidOf(second.token), sidOf(first.token));
    t.equal((await client.refresh(first.refreshToken)).refreshToken, second.refreshToken, 'the answer may be lost');
    const third = await client.refresh(second.refreshToken);
    t.same(await client.me(third.token), first.user);
    await t.rejects(client.refresh(first.refreshToken), { code: 'invalid_refresh_token' });
    await t.rejects(client.refresh(third.refreshToken), { code: 'invalid_refresh_token' });
    await t.rejects(client.me(third.token), { code: 'invalid_token' });
    await t.rejects(client.refresh('nonsense'), { code: 'invalid_refresh_token' });
  },

  'people see and end their sessions': async (t, { client, get }) => {
    const credentials = newCredentials();
    const first = await client.signUp(credentials);
    const [second, third] = [await client.signIn(credentials), await client.signIn(credentials)];
    const sessions = await client.sessions(first.token);
    t.same(
      sessions.map(({ id, current }) => [id, current]),
      [third, second, first].map(({ token }) => [sidOf(token), token === first.token]),
    );
    const page = async (query: string) => {
      const response = await get(`/auth/sessions?${query}`, first.token);
      return { status: response.status, body: (await response.json()) as { sessions?: Session[]; next?: string } };
    };
    const { body: newest } = await page('limit=2');
    t.same(newest.sessions, sessions.slice(0, 2));
    t.equal(newest.next, sessions[1]?.id);
    t.same((await page(`limit=2&after=${newest.next}`)).body, { sessions: sessions.slice(2) });
    for (const query of ['limit=0', 'limit=101', 'after=x', 'before=x'])
      t.equal((await page(query)).status, 400, query);
    const stranger = await client.signUp(newCredentials());
    await t.rejects(client.endSession(stranger.token, sidOf(second.token)), { code: 'not_found' });
    await client.endSession(first.token, sidOf(second.token));
    await t.rejects(client.endSession(first.token, sidOf(second.token)), { code: 'not_found' });
    await t.rejects(client.refresh(second.refreshToken), { code: 'invalid_refresh_token' });

    await client.signOut(first.token, 'others');
    await t.rejects(client.me(third.token), { code: 'invalid_token' });
    await client.signOut(first.token);
    await t.rejects(client.signOut(first.token, 'all'), { code: 'invalid_token' });
    const [fourth, fifth] = [await client.signIn(credentials), await client.signIn(credentials)];
    await client.signOut(fourth.token, 'all');
    await t.rejects(client.me(fifth.token), { code: 'invalid_token' });
    t.same(await client.me(stranger.token), stranger.user);
  },

  'a changed password ends every other session': async (t, { client }) => {
    const credentials = newCredentials();
    const [first, other] = [await client.signUp(credentials), await client.signIn(credentials)];
    const change = { currentPassword: credentials.password, newPassword: 'brand new 42' };
    const wrong = { ...change, currentPassword: 'wrong' };
    await t.rejects(client.changePassword(first.token, wrong), { code: 'invalid_credentials' });
    await t.rejects(client.changePassword(first.token, { ...change, newPassword: 'short' }), {
      code: 'password_rejected',
      problem: { errors: [{ pointer: '/newPassword', reason: 'too_short' }] },
    });
    const changed = await client.changePassword(first.token, change);
    await t.rejects(client.refresh(other.refreshToken), { code: 'invalid_refresh_token' });
    await t.rejects(client.signIn(credentials), { code: 'invalid_credentials' });
    t.same(await client.me((await client.refresh(changed.refreshToken)).token), first.user);
  },

  'a user’s session keeps itself alive': async (t, { client }) => {
    const credentials = newCredentials();
    const session = createUserSession(client);
    const user = await session.signUp(credentials);
    const token = await session.token();
    await session.invalidate(token);
    const tokens = await Promise.all(Array.from({ length: 10 }, () => session.token()));
    t.equal(new Set(tokens).size, 1);
    t.same(await client.me(tokens[0] as string), user);
    await session.signOut();
    await t.rejects(session.token(), { code: 'signed_out' });
    await t.rejects(client.me(tokens[0] as string), { code: 'invalid_token' });
  },

  'gateways and services tell a token from others': async (t, { client, options, get }) => {
    const { token, user } = await client.signUp(newCredentials());
    const verified = await get('/auth/verify', token);
    t.equal(verified.status, 200);
    t.equal(verified.headers.get('x-auth-user-id'), user.id);
    t.equal(verified.headers.get('x-auth-username'), user.username);
    t.equal(verified.headers.get('x-auth-session-id'), sidOf(token));
    const missing = await get('/auth/verify');
    t.equal(missing.headers.get('www-authenticate'), 'Bearer');
    const invalid = await get('/auth/verify', 'a.b.c');
    t.equal(invalid.status, 401);
    t.equal(invalid.headers.get('www-authenticate'), 'Bearer error="invalid_token"');

    const verifier = createVerifier(options);
    t.teardown(() => verifier.close());
    t.match(await verifier.verify(token), { id: user.id, username: user.username, sid: sidOf(token) });
    await t.rejects(verifier.verify(`${token.slice(0, -1)}_`), { code: 'invalid_token' });
    await t.rejects(verifier.verifyService(token), { code: 'invalid_token' });
    const stranger = createVerifier({ ...options, audience: 'somebody else' });
    t.teardown(() => stranger.close());
    await t.rejects(stranger.verify(token), { code: 'invalid_token' });
  },

  'services get tokens of their own': async (t, { client, options, serviceClient, get }) => {
    const credentials = await serviceClient(['notes:read', 'notes:write']);
    const granted = await client.serviceToken(credentials);
    t.same(granted.scope.split(' ').sort(), ['notes:read', 'notes:write']);
    const narrow = await createServiceTokens(client, { ...credentials, scope: 'notes:read' }).token();
    const verifier = createVerifier(options);
    t.teardown(() => verifier.close());
    t.match(await verifier.verifyService(narrow, 'notes:read'), { sub: credentials.id, client_id: credentials.id });
    await t.rejects(verifier.verifyService(narrow, 'notes:write'), { code: 'insufficient_scope' });
    await t.rejects(verifier.verify(narrow), { code: 'invalid_token' });
    await t.rejects(client.me(narrow), { code: 'invalid_token' });
    t.equal((await get('/auth/verify', narrow)).status, 401);

    const wrong = { ...credentials, secret: 'wrong' };
    await t.rejects(client.serviceToken(wrong), { code: 'invalid_client', problem: { status: 401 } });
    await t.rejects(client.serviceToken({ id: 'nobody', secret: 'x:ü%' }), { code: 'invalid_client' });
    const greedy = client.serviceToken({ ...credentials, scope: 'notes:read everything' });
    await t.rejects(greedy, { code: 'invalid_scope', problem: { status: 400 } });
  },

  'the feed tells which sessions end, to whom it may': async (t, { client, serviceClient }) => {
    const tokens = createServiceTokens(client, await serviceClient(['revocations:read']));
    const token = await tokens.token();
    const credentials = newCredentials();
    const [first, second] = [await client.signUp(credentials), await client.signIn(credentials)];

    const other = createServiceTokens(client, await serviceClient(['notes:read']));
    await t.rejects(client.revocations(await other.token()), { code: 'insufficient_scope', problem: { status: 403 } });
    await t.rejects(client.revocations(first.token), { name: 'AuthProblemError' }, 'not for users');
    await t.rejects(client.revocations('a.b.c'), { code: 'invalid_token' });

    const start = await client.revocations(token);
    t.ok(start.keys.length > 0);
    const waiting = client.revocations(token, { after: start.cursor, wait: 10 });
    await client.signOut(first.token);
    const news = await waiting;
    const entry = news.revoked.find(({ sid }) => sid === sidOf(first.token));
    t.ok(entry && entry.exp >= segment(first.token, 1).exp, 'as long as its tokens live');
    t.notOk(news.revoked.some(({ sid }) => sid === sidOf(second.token)));

    const quiet = await client.revocations(token, { after: news.cursor, wait: 1 });
    t.same(quiet.revoked, []);
    const all = await client.revocations(token);
    t.ok(
      all.revoked.some(({ sid }) => sid === sidOf(first.token)),
      'a later reader gets it too',
    );
  },

  'a verifier whose settings are wrong says so': async (t, { client, options, serviceClient }) => {
    const credentials = await serviceClient(['revocations:read']);
    const start = (more: Partial<VerifierOptions>) => {
      const warnings: unknown[] = [];
      const verifier = createVerifier({ ...options, onWarning: error => warnings.push(error), ...more });
      t.teardown(() => verifier.close());
      return { verifier, warnings };
    };
    await start({ client: credentials }).verifier.ready();
    for (const [given, code] of [
      [{ ...credentials, secret: 'wrong' }, 'invalid_client'],
      [{ ...credentials, id: 'nobody' }, 'invalid_client'],
      [await serviceClient(['notes:read']), 'invalid_scope'],
    ] as const) {
      const { verifier, warnings } = start({ client: given });
      await t.rejects(verifier.ready(), { name: 'VerifierConfigurationError', code });
      t.match(warnings, [{ code }]);
    }
    const { token } = await client.signUp(newCredentials());
    const { verifier, warnings } = start({ audience: 'billing' });
    for (let i = 0; i < 2; i++) await t.rejects(verifier.verify(token), { code: 'invalid_token' });
    t.match(warnings, [{ message: 'The token has the audience "latchkey"; "billing" is expected.' }]);
    t.equal(warnings.length, 1);
    const elsewhere = start({ issuer: 'https://other.example.com', baseUrl: options.baseUrl ?? options.issuer });
    await t.rejects(elsewhere.verifier.verify(token), { code: 'invalid_token' });
    t.match(elsewhere.warnings, [{ message: /issuer "https?:.*"; "https:\/\/other.example.com" is expected/ }]);
  },

  'a sign-out reaches services at once': async (t, { client, options, serviceClient }) => {
    const verifier = createVerifier({
      ...options,
      client: await serviceClient(['revocations:read']),
      onStale: 'closed',
    });
    t.teardown(() => verifier.close());
    const credentials = newCredentials();
    const [first, second] = [await client.signUp(credentials), await client.signIn(credentials)];
    t.same(await Promise.all([first, second].map(({ token }) => isAccepted(verifier, token))), [true, true]);
    await client.signOut(first.token);
    const delay = await refusedAfter(verifier, first.token);
    t.ok(delay < 5000, `${delay} ms`);
    t.ok(await isAccepted(verifier, second.token));

    const stolen = await client.refresh(second.refreshToken);
    const latest = await client.refresh(stolen.refreshToken);
    await t.rejects(client.refresh(second.refreshToken), { code: 'invalid_refresh_token' });
    t.ok((await refusedAfter(verifier, latest.token)) < 5000, 'a theft does too');
  },
};

const targets = {
  'the test issuer': testIssuer,
  'the test issuer over HTTP': testIssuerOverHttp,
  'the service': realService,
};
for (const [name, start] of Object.entries(targets)) {
  t.test(name, async t => {
    const target = await start(t);
    for (const [story, tell] of Object.entries(stories)) await t.test(story, t => tell(t, target));
  });
}

const STEP_MS = 30_000;
// A code is used within this time.
const MARGIN_MS = 5000;

/** Gives codes of authenticator apps, each once. The service accepts those of a step earlier and later too; beyond that, waits. */
function createTotpCodes(): StoryTarget['totpCode'] {
  const given = new Map<string, number>();
  return async secret => {
    const earliest = Math.floor((Date.now() + MARGIN_MS) / STEP_MS) - 1;
    const step = Math.max(earliest, (given.get(secret) ?? 0) + 1);
    given.set(secret, step);
    const waitMs = (step - 1) * STEP_MS - Date.now();
    if (waitMs > 0) await new Promise(resolve => setTimeout(resolve, waitMs));
    return HOTP.generate({ secret: Secret.fromBase32(secret), counter: step });
  };
}

/** The service with these settings, with its development mailbox. */
async function serviceOfMails(t: Test, settings: Partial<Config>): Promise<StoryTarget> {
  const { base, sql } = await startService(t, settings);
  const client = createAuthClient({ baseUrl: base });
  return {
    client,
    mailbox: readMailbox(base),
    async signInLongAgo(credentials) {
      const signedIn = await client.signIn(credentials);
      await sql(`UPDATE auth.sessions SET auth_time = now() - interval '1 hour' WHERE id = $1`, [
        sidOf(signedIn.token),
      ]);
      return signedIn;
    },
    post: (path, body) => fetch(`${base}${path}`, posting(body, {})),
    get: (path, token) => fetch(`${base}${path}`, { headers: bearer(token) }),
    totpCode: createTotpCodes(),
    origin: 'http://localhost:3000',
  };
}

const settingsAndStories: [settings: Partial<Config>, stories: Record<string, Story>][] = [
  [
    { signUp: 'open' },
    { ...addressStories, ...recoveryStories, ...factorStories, ...factorChangeStories, ...passkeyStories },
  ],
  [{ signUp: 'email' }, silentSignUpStories],
  [{ signUp: 'closed' }, closedSignUpStories],
  [{ secondFactor: 'required' }, requiredFactorStories],
];
for (const [settings, told] of settingsAndStories) {
  t.test(`the stories of the client, with ${JSON.stringify(settings)}`, async t => {
    const target = await serviceOfMails(t, settings);
    for (const [story, tell] of Object.entries(told)) await t.test(story, () => tell(target));
  });
}
