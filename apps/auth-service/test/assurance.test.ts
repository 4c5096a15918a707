import { randomBytes, randomUUID } from 'node:crypto';
import t from 'tap';
import { addApp, assuranceOf, challengeOf, complete, wrongCodeOf } from './authenticator-app.js';
import { type Answer, get, newCredentials, post, type Service, send, startService } from './helper.js';

/** An account with a second factor, as one sees it who has its password and a session from before, and nothing else. */
type Account = {
  id: string;
  credentials: { username: string; password: string };
  /** Of its sign-up. */
  key: Record<string, string>;
  /** Of a session that a password has started. */
  token: string;
  refreshToken: string;
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
  'POST /auth/refresh': [({ base }, { refreshToken }) => post(`${base}/auth/refresh`, { refreshToken })],
  'PUT /auth/password': [
    (service, { token, credentials: { password } }) =>
      send(`${service.base}/auth/password`, 'PUT', token, { currentPassword: password, newPassword: 'brand new 42' }),
  ],
  'POST /auth/step-up': [
    (service, { token, credentials: { password } }) =>
      send(`${service.base}/auth/step-up`, 'POST', token, { password }),
    (service, { token }) => send(`${service.base}/auth/step-up`, 'POST', token, { totp: wrongCodeOf('A'.repeat(32)) }),
  ],
};

/** Adds a factor to an account, in a session of its own. */
const FACTORS: Record<string, (service: Service, account: Account) => Promise<unknown>> = {
  'an authenticator app': async (service, { credentials }) => {
    const { body } = await post(`${service.base}/auth/sign-in`, credentials);
    return addApp(service, body.token);
  },
  'a passkey': ({ sql }, { id }) =>
    sql(
      `INSERT INTO auth.passkeys (account_id, id, credential_id, public_key, rp_id, name, sign_count, backup_eligible, backed_up, transports)
       VALUES ($1, $2, $3, $3, 'auth.example.com', 'key', 0, false, false, '{}')`,
      [id, randomUUID(), randomBytes(32)],
    ),
};

async function signUpWith(service: Service, factor: string): Promise<Account> {
  const credentials = newCredentials();
  const key = { 'idempotency-key': `"${credentials.username}"` };
  const { body } = await post(`${service.base}/auth/sign-up`, credentials, key);
  const { token, refreshToken } = body;
  const account = { id: body.user.id, credentials, key, token, refreshToken };
  await FACTORS[factor]?.(service, account);
  return account;
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
