import { randomUUID } from 'node:crypto';
import { type Answer, call, sleep } from './calls.js';

/** The calls that need the database, and those that must not. */
export const DATABASE_CALLS = ['sign-up', 'sign-in', 'refresh', 'me'] as const;
export const FREE_CALLS = ['verify', 'jwks', 'livez'] as const;
export type DatabaseCall = (typeof DATABASE_CALLS)[number];
export type CallName = DatabaseCall | (typeof FREE_CALLS)[number] | 'readyz';

export type Sample = { name: CallName; answer: Answer };

/** Somebody who makes every kind of call. */
export type Person = Record<CallName, () => Promise<Answer>>;

const PASSWORD = 'open sesame 42';
const VERIFY_EVERY_MS = 20;
const OTHERS_EVERY_MS = 100;

/** Signs somebody up. Who is signed out signs up anew, and that counts. */
export async function makePerson(url: string, onSignedOut: (answer: Answer) => void): Promise<Person> {
  const username = `user-${randomUUID()}`;
  const signUp = (name: string) => call(`${url}/auth/sign-up`, { body: { username: name, password: PASSWORD } });
  const first = await signUp(username);
  if (first.status !== 201) throw new Error(`no sign-up: ${first.status} ${first.code}`);
  let { token, refreshToken } = first.body as { token: string; refreshToken: string };
  return {
    'sign-up': () => signUp(`user-${randomUUID()}`),
    'sign-in': () => call(`${url}/auth/sign-in`, { body: { username, password: PASSWORD } }),
    async refresh() {
      const answer = await call(`${url}/auth/refresh`, { body: { refreshToken } });
      if (answer.status === 200) refreshToken = answer.body.refreshToken;
      if (answer.status !== 401) return answer;
      onSignedOut(answer);
      const again = await signUp(`user-${randomUUID()}`);
      if (again.status === 201) ({ token, refreshToken } = again.body);
      return again;
    },
    me: () => call(`${url}/auth/me`, { token }),
    verify: () => call(`${url}/auth/verify`, { token }),
    jwks: () => call(`${url}/.well-known/jwks.json`),
    livez: () => call(`${url}/livez`),
    readyz: () => call(`${url}/readyz`),
  };
}

/** Calls of all kinds, those without the database at a fixed rate; every answer is handed over. */
export async function startTraffic(people: Person[], record: (sample: Sample) => void): Promise<() => Promise<void>> {
  let ending = false;
  const [first] = people as [Person];
  const inFlight = new Set<Promise<void>>();
  const make = async (name: CallName, person: Person) => record({ name, answer: await person[name]() });
  const atRate = (name: CallName, everyMs: number) => {
    return setInterval(() => {
      const made = make(name, first).finally(() => inFlight.delete(made));
      inFlight.add(made);
    }, everyMs);
  };
  const timers = [atRate('verify', VERIFY_EVERY_MS), atRate('jwks', OTHERS_EVERY_MS), atRate('livez', OTHERS_EVERY_MS)];
  const oneByOne = async (name: CallName, person: Person) => {
    for (; !ending; await sleep(OTHERS_EVERY_MS)) await make(name, person);
  };
  const workers = [
    oneByOne('readyz', first),
    ...people.flatMap(person => DATABASE_CALLS.map(name => oneByOne(name, person))),
  ];
  return async () => {
    ending = true;
    for (const timer of timers) clearInterval(timer);
    await Promise.all([...workers, ...inFlight]);
  };
}
