import { withClient } from '@latchkey/service-kit/database';
import t from 'tap';
import { assuranceOf, codeOf } from './authenticator-app.js';
import { type Answer, get, post, type Service, send, until } from './helper.js';
import { creationOptions, newDevice, signUp, startWithPasskeys } from './passkey-helper.js';

const codesOf = ({ status, body }: Answer) => [status, body?.code];
const INSUFFICIENT = [401, 'insufficient_user_authentication'];

/** An account without a factor, a session of its owner, and one of somebody else who knows the password. */
async function signUpTwice(service: Service) {
  const account = await signUp(service);
  const thief = (await post(`${service.base}/auth/sign-in`, account.credentials)).body;
  return { ...account, thief: thief as { token: string; refreshToken: string } };
}

/** Makes requests while one that adds a factor has locked the account, and has not committed. */
async function during(service: Service, adding: () => Promise<Answer>, requests: (() => Promise<Answer>)[]) {
  return withClient(service.config.databaseUrl, async client => {
    const areWaiting = (count: number) => async () => {
      const { rowCount } = await service.sql(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rowCount === count;
    };
    await client.query('BEGIN');
    // What a first factor comes with is written last.
    await client.query('LOCK TABLE auth.recovery_codes IN SHARE MODE');
    const added = adding();
    await until(areWaiting(1), 'the factor is being added');
    const answers = requests.map(request => request());
    await until(areWaiting(1 + requests.length), 'the others wait for the account');
    await client.query('COMMIT');
    return { added: await added, answers: await Promise.all(answers) };
  });
}

t.test('who passes as fresh while the first factor is added changes nothing after that', async t => {
  const service = await startWithPasskeys(t);
  const { token, thief } = await signUpTwice(service);
  const as = (method: string, path: string, body?: unknown) => () =>
    send(service.base + path, method, thief.token, body);
  const response = newDevice().create(await creationOptions(service, thief.token));
  const { secret } = (await send(`${service.base}/auth/totp`, 'POST', token)).body;
  const confirm = () => send(`${service.base}/auth/totp/confirm`, 'POST', token, { totp: codeOf(secret) });
  const { added, answers } = await during(service, confirm, [
    as('POST', '/auth/recovery-codes'),
    as('POST', '/auth/passkeys', { response }),
    as('POST', '/auth/totp'),
    as('DELETE', '/auth/totp'),
    as('PUT', '/auth/email', { email: 'thief@example.com' }),
    as('DELETE', '/auth/email'),
  ]);
  t.equal(added.status, 200);
  for (const answer of answers) t.same(codesOf(answer), INSUFFICIENT);
  const factors = await get(`${service.base}/auth/factors`, token);
  t.match(factors.body, { totp: { createdAt: String }, recoveryCodesLeft: 10, passkeys: { length: 0 } });
  const refreshed = await post(`${service.base}/auth/refresh`, { refreshToken: thief.refreshToken });
  t.equal(assuranceOf(refreshed.body.token).acr, 'aal1');
});

t.test('a password alone starts no session that was begun while the first passkey was added', async t => {
  const service = await startWithPasskeys(t);
  const { token, credentials, thief } = await signUpTwice(service);
  const response = newDevice().create(await creationOptions(service, token));
  const add = () => send(`${service.base}/auth/passkeys`, 'POST', token, { response });
  const { added, answers } = await during(service, add, [
    () => post(`${service.base}/auth/sign-in`, credentials),
    () => send(`${service.base}/auth/email`, 'DELETE', thief.token),
  ]);
  t.equal(added.status, 201);
  t.same(answers.map(codesOf), [[401, 'invalid_credentials'], INSUFFICIENT]);
  t.match(await post(`${service.base}/auth/sign-in`, credentials), { body: { code: 'second_factor_required' } });
});
