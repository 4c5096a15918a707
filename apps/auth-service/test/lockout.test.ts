import t from 'tap';
import { commandLine } from './command-line.js';
import { get, newCredentials, post, startService, until } from './helper.js';
import { startRedis, withoutRedis } from './redis.js';
import {
  changePassword,
  guess,
  guesses,
  newAddress,
  onEachStore,
  signIn,
  signUp,
  startThrottled,
} from './throttled.js';

onEachStore('the operator unlocks an account', async (t, overrides) => {
  const service = await startThrottled(t, {}, overrides);
  const latchkey = (args: string) =>
    commandLine(service)(args, '', overrides.redisUrl === undefined ? {} : { REDIS_URL: overrides.redisUrl });
  const owner = await signUp(service);
  const { id } = (await get(`${service.base}/auth/me`, owner.token)).body;
  const signInAt = async (address: string) => (await signIn(service, owner.username, owner.password, address)).status;
  t.match(await latchkey(`users unlock ${owner.username}`), {
    code: 0,
    stderr: new RegExp(
      `^No failed attempts lock the account ${owner.username}, as ${overrides.redisUrl ? 'Redis' : 'PostgreSQL'} has`,
    ),
  });

  // From the address of the owner, and from ever new ones.
  await guesses(service, 10, owner.username, owner.address);
  for (let i = 0; i < 10; i++) await guess(service, owner.username, newAddress());
  const stranger = newAddress();
  t.same([await signInAt(owner.address), await signInAt(stranger)], [429, 429]);
  const { failedAttempts } = JSON.parse((await latchkey(`users show ${owner.username} --json`)).stdout);
  const limits = failedAttempts.filter((one: { blockedForS: number | null }) => one.blockedForS !== null);
  t.match(
    limits.sort((one: { limit: string }, other: { limit: string }) => one.limit.localeCompare(other.limit)),
    [
      { limit: 'account', failures: 20, blockedForS: Number },
      { limit: 'pair', failures: 10 },
    ],
  );
  t.match(
    (await latchkey(`users show ${owner.username}`)).stdout,
    /failedAttempts .*20 failed, blocked for 3[56]\d\d s/,
  );

  const { stdout, code } = await latchkey(`users unlock ${owner.username} --json`);
  t.equal(code, 0);
  // Less of the block is left than was shown.
  const counted = failedAttempts.map(({ limit, failures }: { limit: string; failures: number }) => ({
    limit,
    failures,
  }));
  t.match(JSON.parse(stdout), { id, username: owner.username, changed: true, forgiven: counted });
  await until(async () => (await signInAt(stranger)) === 200, 'a stranger may try again');
  await until(async () => (await signInAt(owner.address)) === 200, 'and the owner');
  t.match(JSON.parse((await latchkey(`users unlock ${id} --json`)).stdout), { changed: false, forgiven: [] });
  const { rows } = await service.sql(
    `SELECT event, actor, details FROM auth.audit_events WHERE user_id = $1 AND event = 'user_unlocked'`,
    [id],
  );
  t.match(rows, [{ actor: 'operator', details: { counters: 12 } }]);
});

t.test('the operator unlocks the session of an owner who forgot the current password', async t => {
  const service = await startThrottled(t);
  const owner = await signUp(service);
  for (let i = 0; i < 10; i++) await changePassword(service, owner.token, 'wrong', 'brand new 42');
  const change = async () =>
    (await changePassword(service, owner.token, owner.password, 'brand new and 42 long')).status;
  t.equal(await change(), 429);
  const { stderr } = await commandLine(service)(`users unlock ${owner.username}`);
  t.match(stderr, /Forgiven: passwords from one address or in one session: 10 failed, blocked for \d+ s\./);
  await until(async () => (await change()) === 200, 'the password may be changed again');
});

t.test('with other secrets than those of the service, no failed attempts are found, and it says so', async t => {
  const service = await startThrottled(t);
  const { username } = await signUp(service);
  await guess(service, username, newAddress());
  for (const id of ['other', 'one']) {
    const others = { AUTH_SECRETS: `${id}:${Buffer.alloc(32, 1).toString('base64')}` };
    t.match(await commandLine(service)(`users unlock ${username}`, '', others), {
      code: 1,
      stderr: /The service uses the secret "one", which is not the first of AUTH_SECRETS here/,
    });
    t.match((await commandLine(service)(`users show ${username}`, '', others)).stdout, /failedAttempts +unknown/);
  }
});

t.test('what cannot be read of the throttles is not told', { skip: withoutRedis }, async t => {
  const service = await startService(t);
  const { username } = newCredentials();
  await post(`${service.base}/auth/sign-up`, { username, password: 'open sesame 42' });
  const redis = await startRedis(t);
  await redis.stop();
  const away = { REDIS_URL: redis.url };
  t.match((await commandLine(service)(`users show ${username}`, '', away)).stdout, /failedAttempts +unknown/);
  t.match(await commandLine(service)(`users unlock ${username}`, '', away), {
    code: 1,
    stderr: /Redis does not respond/,
  });
});
