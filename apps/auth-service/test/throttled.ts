import t, { type Test } from 'tap';
import { type Config, loadSettings } from '#src/config/settings.js';
import { type Answer, call, newCredentials, post, type Service, startService } from './helper.js';
import { startRedis, withoutRedis } from './redis.js';

export const DEFAULTS = loadSettings({}).throttle;
type Throttle = Partial<Config['throttle']>;

/** A service with throttles, which takes the addresses of its callers from this test as from a gateway. */
export const startThrottled = (t: Test, throttle: Throttle = {}, overrides: Partial<Config> = {}): Promise<Service> =>
  startService(t, { trustProxy: ['127.0.0.1'], throttle: { ...DEFAULTS, ...throttle }, ...overrides });

let addresses = 0;
export const newAddress = () => `198.51.${++addresses >> 8}.${addresses & 0xff}`;
export const from = (address: string) => ({ 'x-forwarded-for': address });

export const signIn = ({ base }: Service, username: string, password: string, address: string): Promise<Answer> =>
  post(`${base}/auth/sign-in`, { username, password }, from(address));
export const guess = (service: Service, username: string, address: string) =>
  signIn(service, username, 'wrong', address);

/** Guesses so often, one after the other; answers the statuses. */
export async function guesses(
  service: Service,
  times: number,
  username: string,
  address = newAddress(),
): Promise<number[]> {
  const statuses = [];
  for (let i = 0; i < times; i++) statuses.push((await guess(service, username, address)).status);
  return statuses;
}

export async function signUp({ base }: Service, address = newAddress()) {
  const credentials = newCredentials();
  const { status, body } = await post(`${base}/auth/sign-up`, credentials, from(address));
  if (status !== 201) throw new Error(`sign-up was answered ${status}`);
  return { ...credentials, address, token: body.token as string };
}

export const changePassword = ({ base }: Service, token: string, currentPassword: string, newPassword: string) =>
  call(`${base}/auth/password`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...from(newAddress()) },
    body: JSON.stringify({ currentPassword, newPassword }),
  });

export const times = <T>(count: number, value: T): T[] => new Array(count).fill(value);
export const blocks = ({ logs }: Service) =>
  logs.map(line => JSON.parse(line)).filter(line => line.event === 'throttled');

/** Another replica on the same database, or Redis, with the same secrets. */
export const startReplica = (t: Test, { config }: Service): Promise<Service> => {
  const { trustProxy, throttle, databaseUrl, authSecrets, redisUrl } = config;
  return startService(t, { trustProxy, throttle, databaseUrl, authSecrets, ...(redisUrl && { redisUrl }) });
};

/** Runs a test on each kind of store. */
export function onEachStore(name: string, test: (t: Test, overrides: Partial<Config>) => Promise<void>): void {
  t.test(`on PostgreSQL, ${name}`, t => test(t, {}));
  t.test(`on Redis, ${name}`, { skip: withoutRedis }, async t => test(t, { redisUrl: (await startRedis(t)).url }));
}
