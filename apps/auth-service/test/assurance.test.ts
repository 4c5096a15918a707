import type { VirtualAuthenticator } from '@latchkey/auth-client/testing';
import t from 'tap';
import { addApp, assuranceOf, challengeOf, complete, wrongCodeOf } from './authenticator-app.js';
import { type Answer, get, newCredentials, post, type Service, send, startService } from './helper.js';
import { addPasskey, newDevice, signIn, signInOptions } from './passkey-helper.js';

// Of the settings of tests.
const ORIGIN = 'https://auth.example.com';

/** An account with a second factor, as one sees it who has its password and a session from before, and nothing else. */
type Account = {
  id: string;
  credentials: { username: string; password: string };
  /** Of its sign-up. */
  key: Record<string, string>;
  /** Of a session that a password has started. */
  token: string;
  refreshToken: string;
  /** The user handle of its passkeys, base64url. */
  handle: string;
};

type Try = (service: Service, account: Account) => Promise<Answer>;

/**
 * What is tried with a password alone at each operation that responds with tokens. An operation that is not here fails the test:
 * add what could be tried there.
 */
const TRIES: Record<string, Try[]> = {
  'POST /auth/sign-up': [({ base }, { credentials, key }) => post(`${base}/auth/sign-up`, credentials, key)],
  'POST /auth/sign-in': [({ base }, { credentials }) => post(`${base}/auth/sign-in`, credentials)],
  'POST /auth/sign-in/second-factor': [
    async (service, { credentials }) => complete(service, await challengeOf(service, credentials), {}),
    async (service, { credentials }) =>
      complete(service, await challengeOf(service, credentials), { totp: wrongCodeOf('A'.repeat(32)) }),
    async (service, { credentials }) =>
      complete(service, await challengeOf(service, credentials), { recoveryCode: credentials.password }),
    async (service, { credentials }) =>
      complete(service, await challengeOf(service, credentials), { password: credentials.password }),
  ],
  'POST /auth/sign-in/passkey': [
    ({ base }, { credentials }) => post(`${base}/auth/sign-in/passkey`, credentials),
    async service => signIn(service, await deviceOfStranger(service)),
    async (service, { handle }) => {
      const device = await deviceOfStranger(service);
      const response = device.get(await signInOptions(service), { userHandle: handle });
      return post(`${service.base}/auth/sign-in/passkey`, { response });
    },
  ],
  'POST /auth/sign-up/passkey': [
    async ({ base }, { credentials: { username } }) => {
      const { body } = await post(`${base}/auth/sign-up/passkey/options`, { username });
      return post(`${base}/auth/sign-up/passkey`, { response: newDevice({ origin: ORIGIN }).create(body) });
    },
  ],
  'POST /auth/refresh': [({ base }, { refreshToken }) => post(`${base}/auth/refresh`, { refreshToken })],
  'PUT /auth/password': [
    (service, { token, credentials: { password } }) =>
      send(`${service.base}/auth/password`, 'PUT', token, { currentPassword: password, newPassword: 'brand new 42' }),
  ],
  'POST /auth/step-up': [
    (service, { token, credentials: { password } }) =>
      send(`${service.base}/auth/step-up`, 'POST', token, { password }),
    (service, { token }) => send(`${service.base}/auth/step-up`, 'POST', token, { totp: wrongCodeOf('A'.repeat(32)) }),
    async (service, { token }) => {
      const passkey = (await deviceOfStranger(service)).get(await signInOptions(service));
      return send(`${service.base}/auth/step-up`, 'POST', token, { passkey });
    },
  ],
};

/** A device with a passkey that the service does not know. */
async function deviceOfStranger(service: Service): Promise<VirtualAuthenticator> {
  const device = newDevice({ origin: ORIGIN });
  const { body } = await post(`${service.base}/auth/sign-up/passkey/options`, newUsername());
  device.create(body);
  return device;
}
const newUsername = () => ({ username: newCredentials().username });

/** Adds a factor to an account, in a session of its own. */
const FACTORS: Record<string, (service: Service, account: Account) => Promise<unknown>> = {
  'an authenticator app': async (service, { credentials }) => {
    const { body } = await post(`${service.base}/auth/sign-in`, credentials);
    return addApp(service, body.token);
  },
  'a passkey': async (service, { credentials }) => {
    const { body } = await post(`${service.base}/auth/sign-in`, credentials);
    return addPasskey(service, body.token, newDevice({ origin: ORIGIN }));
  },
};

async function signUpWith(service: Service, factor: string): Promise<Account> {
  const credentials = newCredentials();
  const key = { 'idempotency-key': `"${credentials.username}"` };
  const { body } = await post(`${service.base}/auth/sign-up`, credentials, key);
  const { token, refreshToken } = body;
  const account = { id: body.user.id, credentials, key, token, refreshToken, handle: '' };
  await FACTORS[factor]?.(service, account);
  const { rows } = await service.sql('SELECT passkey_handle AS handle FROM auth.users WHERE id = $1', [account.id]);
  return { ...account, handle: rows[0].handle?.toString('base64url') ?? newCredentials().username };
}

type Schema = { $ref?: string; properties?: Record<string, unknown> };
type Document = {
  paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: Schema }> }> }>
  >;
  components: { schemas: Record<string, Schema> };
};

/** The operations whose responses have tokens of a user. */
function findOperations({ paths, components }: Document): string[] {
  const resolve = (schema: Schema) => components.schemas[schema.$ref?.split('/').at(-1) ?? ''] ?? schema;
  const givesTokens = (schema: Schema) => 'refreshToken' in (resolve(schema).properties ?? {});
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { responses }]) => {
      const contents = Object.entries(responses).flatMap(([status, { content = {} }]) =>
        status.startsWith('2') ? Object.values(content) : [],
      );
      return contents.some(({ schema }) => givesTokens(schema)) ? [`${method.toUpperCase()} ${path}`] : [];
    }),
  );
}

t.test('no operation that responds with tokens forgets the second factor', async t => {
  const service = await startService(t);
  const operations = findOperations((await get(`${service.base}/openapi.json`)).body);
  t.same(operations.sort(), Object.keys(TRIES).sort(), 'each operation has its tries');
  for (const [operation, tries] of Object.entries(TRIES)) {
    for (const factor of Object.keys(FACTORS)) {
      for (const [i, attempt] of tries.entries()) {
        const what = `${operation} with ${factor}, ${i}`;
        const account = await signUpWith(service, factor);
        const sessions = async () =>
          (await service.sql('SELECT id, amr FROM auth.sessions WHERE user_id = $1 ORDER BY id', [account.id])).rows;
        const before = await sessions();
        const { status, body } = await attempt(service, account);
        if (status < 300) {
          const { acr, amr } = assuranceOf(body.token);
          t.same([acr, amr], ['aal1', ['pwd']], `${what}: the assurance is that of the password`);
          const fresh = await send(`${service.base}/auth/totp`, 'POST', body.token);
          t.equal(fresh.body.code, 'insufficient_user_authentication', `${what}: which does not do`);
        } else {
          t.notOk('token' in body || 'refreshToken' in body, `${what}: ${body.code}`);
        }
        const after = new Map((await sessions()).map(({ id, amr }) => [id, amr]));
        for (const { id, amr } of before)
          if (after.has(id)) t.same(after.get(id), amr, `${what}: no session is raised`);
        t.ok(after.size <= before.length, `${what}: no session has started`);
      }
    }
  }
});
